"""The accelerator: a descriptor stream in, an external memory beside it, four engines and the counters between them."""

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.array import ArrayEngine
from p2vit.rtl.top.bits import field
from p2vit.rtl.top.bus import SLOTTED, counter, memory_signature
from p2vit.rtl.top.descriptor import DESCRIPTOR_BITS, Dest, Kind, Source
from p2vit.rtl.top.line import Line
from p2vit.rtl.top.load import LoadEngine
from p2vit.rtl.top.machine import QUEUE_DEPTH, SLOTS, RtlMachine
from p2vit.rtl.top.store import StoreEngine
from p2vit.rtl.top.vector import VectorEngine
from p2vit.rtl.top.vector_lane import VectorLane
from p2vit.rtl.top.weight_bank import WeightBank


class Accelerator(wiring.Component):
    """Executes a descriptor stream on tensors in an external memory.

    ``descriptor`` is a stream with ready and valid: one 256-bit descriptor per cycle. ``memory`` may refuse a request
    and delay an answer for any time. ``done`` rises with the END descriptor, when all stores are done.
    ``stores_done`` counts stores, for progress and for cycles per layer. The results do not depend on when anything
    comes.

    Args:
        machine: Sizes.
    """

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        super().__init__(
            {
                "descriptor_valid": In(1),
                "descriptor_ready": Out(1),
                "descriptor_data": In(DESCRIPTOR_BITS),
                "memory": Out(memory_signature(machine)),
                "stores_done": Out(24),
                "array_busy": Out(1),
                "vector_busy": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Dispatch, engines, slot counters."""
        m = Module()
        m.submodules.load = load = LoadEngine(self.machine)
        m.submodules.array = array = ArrayEngine(self.machine)
        m.submodules.vector = vector = VectorEngine(self.machine)
        m.submodules.store = store = StoreEngine(self.machine)

        # --- dispatch by kind, in order; every input goes into a register first
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
        m.d.comb += self.descriptor_ready.eq(~waiting | accepted)
        with m.If(self.descriptor_ready):
            m.d.sync += [waiting.eq(self.descriptor_valid), word.eq(self.descriptor_data)]

        # --- memory
        m.d.sync += [
            load.answer_valid.eq(self.memory.answer_valid),
            load.answer_data.eq(self.memory.answer_data),
        ]
        m.d.comb += [
            self.memory.read_valid.eq(load.read_valid),
            load.read_ready.eq(self.memory.read_ready),
            self.memory.read_address.eq(load.read_address),
            self.memory.write_valid.eq(store.write_valid),
            store.write_ready.eq(self.memory.write_ready),
            self.memory.write_address.eq(store.write_address),
            self.memory.write_data.eq(store.write_data),
        ]
        _copy(m, load.loaded, array.loaded)
        _copy(m, load.loaded, vector.loaded)
        for source, sink in ((store.array, array.output), (store.vector, vector.output)):
            m.d.comb += [
                sink.enable.eq(source.enable),
                sink.slot.eq(source.slot),
                sink.column.eq(source.column),
                sink.plane.eq(source.plane),
                source.data.eq(sink.data),
            ]

        # --- slots: opened by a load, closed when its last word is there, taken and released by their reader
        takes = {
            Dest.ROWS: (array.take_rows, array.release_rows, array.rows_full),
            Dest.WEIGHTS: (array.take_weights, array.release_weights, array.weights_full),
            Dest.COLUMN_PARAMETERS: (array.take_parameters, array.release_parameters, array.parameters_full),
            Dest.VECTOR: (vector.take_vector, vector.release_vector, vector.vector_full),
            Dest.VECTOR_PARAMETERS: (
                vector.take_parameters,
                vector.release_parameters,
                vector.parameters_full,
            ),
            Dest.TABLE: (Const(0), vector.release_table, None),
        }
        for dest in SLOTTED:
            taken, released, full_out = takes[dest]
            slots = 1 if dest == Dest.TABLE else SLOTS
            name = dest.name.lower()
            free = counter(m, slots, released, load.open[dest], f"{name}_free")
            m.d.comb += load.free[dest].eq(free != 0)
            if full_out is not None:
                full = counter(m, 0, load.close[dest], taken, f"{name}_full")
                m.d.comb += full_out.eq(full != 0)
        for source, engine in ((Source.ARRAY, array), (Source.VECTOR, vector)):
            name = source.name.lower()
            free = counter(m, SLOTS, store.release[source], engine.take_output, f"{name}_output_free")
            full = counter(m, 0, engine.finish, store.take[source], f"{name}_output_full")
            m.d.comb += [engine.output_free.eq(free != 0), store.full[source].eq(full != 0)]
        m.d.comb += [
            load.stores_done.eq(store.stores_done),
            self.stores_done.eq(store.stores_done),
            self.done.eq(load.done),
            self.array_busy.eq(array.busy),
            self.vector_busy.eq(vector.busy),
        ]
        return m


def _copy(m: Module, source: object, sink: object) -> None:
    """Connect the bus of loaded words to one more reader."""
    for name in ("valid", "dest", "slot", "row", "part", "nibbles", "data"):
        m.d.comb += getattr(sink, name).eq(getattr(source, name))


def accelerator_modules(machine: RtlMachine) -> dict[str, wiring.Component]:
    """Verilog modules of the accelerator: name → component; the top last."""
    return {
        "p2vit_weight_bank": WeightBank(machine),
        "p2vit_line": Line(machine),
        "p2vit_vector_lane": VectorLane(machine),
        "p2vit_accelerator": Accelerator(machine),
    }
