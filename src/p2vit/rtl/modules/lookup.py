"""Tables of 256 entries: GELU or any function of an 8-bit number."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import memory
from numpy.typing import NDArray

from p2vit.rtl.arithmetic import offset_binary
from p2vit.rtl.modules.base import Fields, ModuleTiming, OperatorModule, Streams, corners
from p2vit.rtl.stream import Pipe, lanes, sink, source


class LookupUnit(OperatorModule):
    """``y = table[group, x + 128]``: :class:`p2vit.numerics.Lookup`, with one table or one per group of channels.

    Streams:
        load: ``address`` group · 256 + x + 128, ``entry`` int8, ``last`` of the table; taken in every cycle. From a
            table's first entry to its last one ``i`` waits, and after reset until the first table is there. Not in a
            module with a fixed table.
        i: ``x`` int8 [lanes], ``group`` [lanes] (if there is more than one), ``last``.
        o: ``y`` int8 [lanes], ``last``.

    Latency 1, one beat per cycle.
    """

    about: ClassVar[str] = "GELU or any table"

    def __init__(
        self, lanes_: int = 1, *, groups: int = 1, table: NDArray[np.integer[Any]] | None = None
    ) -> None:
        """Choose the structure.

        Args:
            lanes_: Elements per cycle; every lane reads a port of its own.
            groups: Tables.
            table: int8 [256] or [groups, 256]: fixed for good. Default: loaded through ``load``.

        Raises:
            ValueError: the table has another shape.
        """
        self.lanes, self.groups = lanes_, groups
        self.table = None if table is None else np.asarray(table).reshape(-1)
        if self.table is not None and self.table.shape != (256 * groups,):
            raise ValueError(f"table has {self.table.size} entries; expected 256 for each of {groups} groups")
        self.timing = ModuleTiming(1)
        self.group_bits = (groups - 1).bit_length()
        extra = {"group": lanes(unsigned(self.group_bits), lanes_)} if groups > 1 else {}
        ports = {
            "i": sink(x=lanes(signed(8), lanes_), **extra, last=1),
            "o": source(y=lanes(signed(8), lanes_), last=1),
        }
        if table is None:
            ports["load"] = sink(address=unsigned(8 + self.group_bits), entry=signed(8), last=1)
        super().__init__(ports)

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {"l": self.lanes, "g": self.groups, "rom": int(self.table is not None)}

    def elaborate(self, platform: Any) -> Module:
        """One memory with a read port per lane."""
        m = Module()
        loaded = Signal(init=self.table is not None)
        pipe = Pipe(m, self.i, self.o, gate=loaded)
        beat = self.i.payload
        init = [] if self.table is None else [int(value) & 255 for value in self.table]
        store = m.submodules.table = memory.Memory(shape=unsigned(8), depth=256 * self.groups, init=init)
        if self.table is None:
            write = store.write_port()
            m.d.comb += [
                self.load.ready.eq(1),
                write.addr.eq(self.load.payload.address),
                write.data.eq(self.load.payload.entry),
                write.en.eq(self.load.valid),
            ]
            with m.If(self.load.valid):
                m.d.sync += loaded.eq(self.load.payload.last)
        found = []
        for k in range(self.lanes):
            port = store.read_port()
            address = [offset_binary(beat.x[k]), *([beat.group[k]] if self.groups > 1 else [])]
            m.d.comb += [port.addr.eq(Cat(*address)), port.en.eq(pipe.advance)]
            found.append(port.data.as_signed())
        a = pipe.stage(last=beat.last)
        pipe.finish(y=found, last=a.last)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """As :meth:`p2vit.numerics.Lookup.compute`, from the table that was loaded."""
        i = inputs["i"]
        x = np.asarray(i["x"], np.int64).reshape(len(i["last"]), self.lanes)
        group = np.asarray(i["group"]).reshape(x.shape) if self.groups > 1 else np.zeros_like(x)
        if self.table is None:
            table = np.zeros(256 * self.groups, np.int64)
            table[np.asarray(inputs["load"]["address"])] = inputs["load"]["entry"]
        else:
            table = self.table.astype(np.int64)
        return {"o": {"y": table[group * 256 + x + 128], "last": np.asarray(i["last"], np.int64)}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Random tables, every input through every one."""
        size = (beats, self.lanes)
        fields = {"x": corners(rng, 8, size), "last": rng.integers(0, 2, beats)}
        if self.groups > 1:
            fields["group"] = rng.integers(0, self.groups, size)
        streams = {"i": fields}
        if self.table is None:
            entries = rng.integers(-128, 128, 256 * self.groups)
            last = np.zeros(256 * self.groups, np.int64)
            last[-1] = 1
            streams["load"] = {"address": np.arange(256 * self.groups), "entry": entries, "last": last}
        return streams
