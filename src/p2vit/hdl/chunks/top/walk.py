"""Walk of the array over groups of channels, blocks and tokens, and over the results that each step puts out."""

from amaranth.hdl import Module, Mux, Signal, Value

from p2vit.hdl.chunks.top.decode import decoder
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, Dest, Kind, Operand

#: Fields of the descriptor that are registered for the duration of an operation.
FIELDS = (
    *("groups", "chunks", "tokens", "operand", "base", "stride", "wait_base", "wait_chunk", "wait_token"),
    *("signed_operand", "log2", "guard", "pairs", "flush", "dest_stride", "second_step", "second_short"),
)
#: Fields that the output stages need. Those of second results are kept until they are put out.
OUTPUT_FIELDS = ("parameters", "table", "result", "narrow", "add", "narrow_sum", "dest", "slot", "log2")


class ArrayWalk:
    """Issues one operand per cycle: for each group of channels, for each block of it, for each token.

    With the last block of a group, each step puts out its first result. A step with two results (of two groups of
    4-bit weights, or of two tokens' log2 codes) keeps the second ones in their accumulators. The first block of the
    next group puts these out while it overwrites them. If no operation follows that can, the walk flushes them.

    Attributes:
        op: Registered fields of the operation, by name.
        issue: High in cycles in which a step is issued.
        works: High if it is no step of a flush.
        first_token: High with the first token of a block.
        token: Token (or pair of tokens) of the step.
        begins: High with the first block of a group.
        emits: High if the step puts out a result.
        second: High if that is a second result.
        output: Fields for the output stages, by name.
        slot: Slot of the parameters.
        row: Row of the result, for its reciprocal.
        dest: Address that the result is written to.
        add_from: Address of the number that is added to it.
        releases: High if the step is the last one that uses the slot.
        ended: High after END.
    """

    def __init__(self, m: Module) -> None:
        def signal(name: str, width: int = 1) -> Signal:
            return Signal(width, name=name)

        self.word, self.valid, self.ready = (
            signal("op_word", DESCRIPTOR_BITS),
            signal("op_valid"),
            signal("op_ready"),
        )
        take = decoder(self.word, Kind.ARRAY)
        self.take = take
        self.op = {name: signal(f"op_{name}", len(take(name))) for name in (*FIELDS, *OUTPUT_FIELDS)}
        self.kept = {
            name: signal(f"kept_{name}", len(take(name))) for name in (*OUTPUT_FIELDS, "second_short")
        }
        self.output = {name: signal(f"out_{name}", len(take(name))) for name in OUTPUT_FIELDS}
        self.issue, self.works, self.emits, self.second = (
            signal(name) for name in ("issue", "works", "emits", "second")
        )
        self.first_token, self.begins, self.releases, self.ended = (
            signal(name) for name in ("first_token", "begins", "releases", "ended")
        )
        self.token, self.row, self.slot = signal("token", 13), signal("row", 14), signal("slot")
        self.dest, self.add_from = signal("out_dest", 32), signal("out_add", 16)
        self.address = signal("address", 16)

    def build(
        self, m: Module, counts: list[Value], full: Value, slots_full: Value, external_ready: Value
    ) -> None:
        """Add the walk.

        Args:
            m: Module of the array.
            counts: Counter of each operand memory.
            full: High if the next block is loaded.
            slots_full: Number of slots with parameters.
            external_ready: High if the external memory takes a result.
        """
        op, take, kept = self.op, self.take, self.kept
        issue, token = self.issue, self.token
        active, flushing, pending = (Signal(name=name) for name in ("active", "flushing", "pending"))
        group, chunk = Signal(12, name="group"), Signal(12, name="chunk")
        chunk_address, need, chunk_need = Signal(16), Signal(24, name="need"), Signal(24)
        last_token, last_chunk, last_group, emits_first, seconds, free = (
            Signal(name=name)
            for name in ("last_token", "last_chunk", "last_group", "emits_first", "seconds", "slot_there")
        )
        count, double = Signal(24, name="count"), Signal()
        with m.Switch(op["operand"]):
            for source in Operand:
                with m.Case(source):
                    m.d.comb += count.eq(counts[source])
        finishing, starting, goes_on = (
            Signal(name="finishing"),
            Signal(name="starting"),
            Signal(name="goes_on"),
        )
        external = op["dest"] == Dest.EXTERNAL
        m.d.comb += [
            double.eq(op["pairs"] | op["log2"]),
            self.first_token.eq(token == 0),
            self.begins.eq(chunk == 0),
            last_token.eq(token == op["tokens"] - 1),
            last_chunk.eq((chunk == op["chunks"] - 1) & ~flushing),
            last_group.eq(group == op["groups"] - 1),
            # Steps that put out second results, if there are any.
            seconds.eq(pending & (self.begins | flushing)),
            free.eq(~((last_chunk & op["parameters"]) | (seconds & kept["parameters"])) | (slots_full != 0)),
            goes_on.eq(flushing | ((count >= need) & (~external | ~last_chunk | external_ready))),
            issue.eq(active & goes_on & (~self.first_token | ((full | flushing) & free))),
            self.works.eq(~flushing),
            emits_first.eq(issue & last_chunk),
            self.second.eq(issue & seconds & ~(last_token & kept["second_short"])),
            self.emits.eq(emits_first | self.second),
            self.releases.eq(
                issue
                & last_token
                & ((last_chunk & op["parameters"] & ~op["log2"]) | (seconds & kept["parameters"]))
            ),
            finishing.eq(issue & last_token & Mux(flushing, 1, last_chunk & last_group & ~op["flush"])),
            starting.eq(self.valid & (~active | finishing) & ~self.ended),
            self.ready.eq(starting),
        ]
        m.d.sync += self.slot.eq(self.slot ^ self.releases)

        # --- results: where they go, and what the output stages do with them
        group_dest, dest, second_dest = (
            Signal(32, name=name) for name in ("group_dest", "dest", "second_dest")
        )
        group_add, add_from, second_add = (
            Signal(16, name=name) for name in ("group_add", "add", "second_add")
        )
        m.d.comb += [
            *(self.output[name].eq(Mux(self.second, kept[name], op[name])) for name in OUTPUT_FIELDS),
            self.dest.eq(Mux(self.second, second_dest, dest)),
            self.add_from.eq(Mux(self.second, second_add, add_from)),
            self.row.eq(Mux(self.output["log2"], (token << 1) | self.second, token)),
        ]
        step, second_step = Mux(op["log2"], 2, 1), Mux(kept["log2"], 2, 1)
        with m.If(emits_first):
            m.d.sync += [dest.eq(dest + step), add_from.eq(add_from + step)]
        with m.If(self.second):
            m.d.sync += [second_dest.eq(second_dest + second_step), second_add.eq(second_add + second_step)]
        with m.If(issue & last_token & seconds):
            m.d.sync += pending.eq(0)
        with m.If(issue & last_token & last_chunk):
            m.d.sync += [signal.eq(group_dest + op["dest_stride"]) for signal in (group_dest, dest)]
            m.d.sync += [signal.eq(group_add + op["dest_stride"]) for signal in (group_add, add_from)]
            with m.If(double & ~(op["pairs"] & op["second_short"] & last_group)):
                m.d.sync += [
                    pending.eq(1),
                    second_dest.eq(group_dest + op["second_step"]),
                    second_add.eq(group_add + op["second_step"]),
                    *(signal.eq(op[name]) for name, signal in kept.items()),
                    # Of two tokens per step, the last step may lack the second; of pairs, the last group.
                    kept["second_short"].eq(op["second_short"] & op["log2"]),
                ]

        # --- walk
        with m.If(issue):
            m.d.sync += [
                token.eq(token + 1),
                self.address.eq(self.address + 1),
                need.eq(need + op["wait_token"]),
            ]
            with m.If(last_token):
                m.d.sync += [
                    token.eq(0),
                    chunk.eq(chunk + 1),
                    chunk_address.eq(chunk_address + op["stride"]),
                    self.address.eq(chunk_address + op["stride"]),
                    chunk_need.eq(chunk_need + op["wait_chunk"]),
                    need.eq(chunk_need + op["wait_chunk"]),
                ]
                with m.If(last_chunk):
                    m.d.sync += [chunk.eq(0), group.eq(group + 1)]
                    m.d.sync += [register.eq(op["base"]) for register in (chunk_address, self.address)]
                    m.d.sync += [register.eq(op["wait_base"]) for register in (chunk_need, need)]
                    m.d.sync += flushing.eq(last_group & op["flush"])
                with m.If(flushing):
                    m.d.sync += flushing.eq(0)
            with m.If(finishing):
                m.d.sync += active.eq(0)
        is_end = take("kind") == Kind.END
        with m.If(starting):
            m.d.sync += [signal.eq(take(name)) for name, signal in op.items()]
            m.d.sync += [register.eq(take("base")) for register in (chunk_address, self.address)]
            m.d.sync += [register.eq(take("wait_base")) for register in (chunk_need, need)]
            m.d.sync += [group.eq(0), chunk.eq(0), token.eq(0), active.eq(~is_end), self.ended.eq(is_end)]
            m.d.sync += [signal.eq(take("dest_base")) for signal in (group_dest, dest)]
            m.d.sync += [signal.eq(take("add_base")) for signal in (group_add, add_from)]
