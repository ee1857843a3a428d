"""Top module of the accelerator: dispatch of descriptors, four engines, and slot counters between them."""

from typing import ClassVar

from amaranth.hdl import Const, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from p2vit.hdl.top.array import ArrayEngine
from p2vit.hdl.top.bus import SLOTTED, loaded_signature, memory_signature
from p2vit.hdl.top.component import MachineComponent
from p2vit.hdl.top.decode import field
from p2vit.hdl.top.descriptor import DESCRIPTOR_BITS, Dest, Kind, Source
from p2vit.hdl.top.line import Line
from p2vit.hdl.top.load import LoadEngine
from p2vit.hdl.top.machine import QUEUE_DEPTH, SLOTS, RtlMachine
from p2vit.hdl.top.reads import ReadsInFlight
from p2vit.hdl.top.slots import counter
from p2vit.hdl.top.store import StoreEngine
from p2vit.hdl.top.vector import VectorEngine
from p2vit.hdl.top.vector_lane import VectorLane
from p2vit.hdl.top.verilog import REPEATED, TOP
from p2vit.hdl.top.weight_bank import WeightBank


class Accelerator(MachineComponent):
    """Executes a descriptor stream on tensors in an external memory.

    Handshake: ``descriptor`` is a ready/valid stream of 256-bit descriptors. ``memory`` may refuse any request and
    delay any answer. ``done`` rises with the END descriptor, when all stores are done. ``stores_done`` counts
    stores, for progress and for cycles per layer. Throughput: up to one descriptor, one read and one write per
    cycle. Latency: see `p2vit.hdl.timing`. The timing of the memory and of the descriptors does not change the
    results.
    """

    verilog_name: ClassVar[str] = TOP

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports: descriptors, external memory, and status signals."""
        return {
            "cold_rst": In(1),
            "descriptor_valid": In(1),
            "descriptor_ready": Out(1),
            "descriptor_data": In(DESCRIPTOR_BITS),
            "memory": Out(memory_signature(machine)),
            "stores_done": Out(24),
            "array_busy": Out(1),
            "vector_busy": Out(1),
            "done": Out(1),
        }

    def separate_modules(self) -> dict[str, MachineComponent]:
        """Return the other modules of the design, by Verilog name. Each is written once."""
        kinds = (WeightBank, Line, VectorLane, LoadEngine, ArrayEngine, VectorEngine, StoreEngine)
        return {kind.verilog_name: kind(self.machine) for kind in kinds}

    def repeated_modules(self) -> dict[str, MachineComponent]:
        """Return those of the separate modules that are instantiated many times."""
        return {name: part for name, part in self.separate_modules().items() if name in REPEATED}

    def elaborate(self, platform: object) -> Module:
        """Build dispatch, engines and slot counters."""
        m = Module()
        load, array = LoadEngine(self.machine), ArrayEngine(self.machine)
        vector, store = VectorEngine(self.machine), StoreEngine(self.machine)
        for engine in (load, array, vector, store):
            engine.add_to(m)

        # --- dispatch by kind, in order; all inputs are registered first
        waiting, word = Signal(), Signal(DESCRIPTOR_BITS)
        kind = field(word, Kind.LOAD, "kind")
        queues = {}
        accepted = Const(0)
        for key, engine in (
            (Kind.LOAD, load),
            (Kind.ARRAY, array),
            (Kind.VECTOR, vector),
            (Kind.STORE, store),
        ):
            queue = SyncFIFO(width=DESCRIPTOR_BITS, depth=QUEUE_DEPTH)
            m.submodules[f"{key.name.lower()}_queue"] = queues[key] = queue
            here = (kind == key) | ((kind == Kind.END) if key == Kind.LOAD else 0)
            m.d.comb += [
                queue.w_data.eq(word),
                queue.w_en.eq(waiting & here),
                engine.queue.valid.eq(queue.r_rdy),
                engine.queue.word.eq(queue.r_data),
                queue.r_en.eq(engine.queue.ready),
            ]
            accepted = accepted | (here & queue.w_rdy)
        taken = Signal()
        m.d.comb += [taken.eq(~waiting | accepted), self.descriptor_ready.eq(taken & ~ResetSignal())]
        with m.If(taken):
            m.d.sync += [waiting.eq(self.descriptor_valid), word.eq(self.descriptor_data)]

        # --- memory
        reads = ReadsInFlight(m, self.memory, self.cold_rst)
        m.d.sync += [load.answer_valid.eq(reads.answered), load.answer_data.eq(self.memory.answer_data)]
        m.d.comb += [
            self.memory.read_valid.eq(load.read_valid & reads.allowed),
            load.read_ready.eq(self.memory.read_ready & reads.allowed),
            self.memory.read_address.eq(load.read_address),
            self.memory.write_valid.eq(store.write_valid & ~ResetSignal()),
            store.write_ready.eq(self.memory.write_ready),
            self.memory.write_address.eq(store.write_address),
            self.memory.write_data.eq(store.write_data),
        ]
        for engine in (array, vector):
            for name in loaded_signature(self.machine).members:
                m.d.comb += getattr(engine.loaded, name).eq(getattr(load.loaded, name))

        # --- slots: a load opens a slot and closes it with its last word; the reader takes and releases it
        readers = {
            Dest.ROWS: array.rows,
            Dest.WEIGHTS: array.weights,
            Dest.COLUMN_PARAMETERS: array.parameters,
            Dest.VECTOR: vector.numbers,
            Dest.VECTOR_PARAMETERS: vector.parameters,
        }
        assert {*readers, Dest.TABLE} == set(SLOTTED)
        for dest, reader in readers.items():
            name = dest.name.lower()
            free = counter(m, SLOTS, reader.release, load.slots_open[dest], f"{name}_free")
            full = counter(m, 0, load.slots_close[dest], reader.take, f"{name}_full")
            m.d.comb += [load.slots_free[dest].eq(free != 0), reader.full.eq(full != 0)]
        table_free = counter(m, 1, vector.release_table, load.slots_open[Dest.TABLE], "table_free")
        m.d.comb += load.slots_free[Dest.TABLE].eq(table_free != 0)
        for source, engine in ((Source.ARRAY, array), (Source.VECTOR, vector)):
            wiring.connect(m, store.buffers[source], engine.output)
            name, results, stored = source.name.lower(), engine.results, store.slots[source]
            free = counter(m, SLOTS, stored.release, results.take, f"{name}_output_free")
            full = counter(m, 0, results.finish, stored.take, f"{name}_output_full")
            m.d.comb += [results.free.eq(free != 0), stored.full.eq(full != 0)]
        m.d.comb += [
            load.stores_done.eq(store.stores_done),
            self.stores_done.eq(store.stores_done),
            self.done.eq(load.done),
            self.array_busy.eq(array.busy),
            self.vector_busy.eq(vector.busy),
        ]
        return m
