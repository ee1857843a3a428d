"""Hardware module of the table lookup: GELU or any other function of an 8-bit number."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import memory
from numpy.typing import NDArray

from p2vit.hdl.arithmetic import offset_binary
from p2vit.hdl.modules.base import Fields, ModuleTiming, OperatorModule, Streams, corners
from p2vit.hdl.stream import Pipe, lanes, sink, source


class LookupUnit(OperatorModule):
    """``y = table[group, x + 128]``: :class:`p2vit.numerics.Lookup`, with one table or one per group of channels.

    Streams:
        load: ``address`` group · 256 + x + 128, ``entry`` int8, ``last`` of the table; always ready. Stream ``i``
            waits while a table is loaded, and after reset until the first table is loaded. A module with a fixed table
            has no ``load``.
        i: ``x`` int8 [lanes], ``group`` [lanes] (if there is more than one), ``last``.
        o: ``y`` int8 [lanes], ``last``.

    Latency: 1 cycle. Throughput: one beat per cycle. Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "GELU or any table"

    def __init__(
        self, lanes_: int = 1, *, groups: int = 1, table: NDArray[np.integer[Any]] | None = None
    ) -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle; every lane has a read port of its own.
            groups: Number of tables.
            table: Fixed table, int8 [256] or [groups, 256]; None means that ``load`` loads the table.

        Raises:
            ValueError: The table has another shape.
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
        """Return the structural parameters."""
        return {"l": self.lanes, "g": self.groups, "rom": int(self.table is not None)}

    def elaborate(self, platform: Any) -> Module:
        """Build one memory with a read port per lane."""
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
        """Compute :meth:`p2vit.numerics.Lookup.compute` with the loaded or fixed table."""
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
        """Make random tables and random inputs for each of them."""
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
