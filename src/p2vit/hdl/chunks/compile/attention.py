"""Placing of attention: head by head, with the scores of the next head before attention × V of this one."""

import numpy as np

from p2vit.hdl.chunks.compile.compiled import Part
from p2vit.hdl.chunks.compile.packing import packed_parameters, weight_stream
from p2vit.hdl.chunks.compile.placing import ARRAY_PLACES, LEVER, Placing
from p2vit.hdl.chunks.machine import SCORE_BITS
from p2vit.hdl.chunks.top.descriptor import Descriptor, Dest, Kind, LoadTo, Operand, Result
from p2vit.hdl.compile.errors import require, unfit
from p2vit.numerics import AttentionValues, Scores, Softmax
from p2vit.numerics.attention_values import QUOTIENT_FRACTION
from p2vit.program.graph import Node


class AttentionHeads:
    """Attention of one block: its operands, the slots of scores and codes, and its output.

    Args:
        placing: State of the compiler.
        node: Scores.

    Raises:
        UnfitProgramError: The machine cannot execute it.
    """

    def __init__(self, placing: Placing, node: Node) -> None:
        operator, lines = node.operator, placing.lines
        assert isinstance(operator, Scores)
        softmax_node = placing.only_reader(node.name, Softmax)
        values_node = placing.only_reader(softmax_node.name, AttentionValues) if softmax_node else None
        if softmax_node is None or values_node is None:
            raise unfit(node.name, "its scores do not go through a softmax to attention × V alone", LEVER)
        self.placing, self.lines = placing, lines
        self.names = node.name, softmax_node.name, values_node.name
        values, softmax = values_node.operator, softmax_node.operator
        assert isinstance(values, AttentionValues)
        assert isinstance(softmax, Softmax)
        self.values, self.softmax, self.heads, self.width = values, softmax, operator.heads, operator.head_dim
        _, self.queries, self.keys = placing.program.tensors[node.name].shape
        self.key_groups, self.per_head = placing.groups_of(self.keys), self.width // lines
        self.log2 = softmax.form == "log2"
        self.check(node, values_node)
        self.q = placing.source(node, node.inputs[0], "operand_words")
        self.k = placing.source(node, node.inputs[1], "key_words")
        self.v = placing.source(values_node, values_node.inputs[1], "key_words")
        self.inputs = (*node.inputs, values_node.inputs[1])
        self.tail = self.keys - (self.key_groups - 1) * lines
        #: Steps of attention × V over the queries: a step takes the log2 codes of two queries.
        self.steps = -(-self.queries // 2) if self.log2 else self.queries
        self.slots = [
            (
                placing.rooms["score_words"].allocate(node.name, self.queries * self.key_groups),
                placing.rooms["code_words"].allocate(node.name, self.steps * self.key_groups),
            )
            for _ in range(min(self.heads, 2))
        ]
        groups = self.heads * self.per_head
        self.out = placing.place(values_node.name, "operand_words", self.queries, groups, Operand.OPERANDS)
        self.out.whole = self.log2
        shift = values.shift.astype(np.int64) + QUOTIENT_FRACTION
        self.parameters = packed_parameters(lines, self.heads * self.width, ARRAY_PLACES, {"shift": shift})
        self.form = {"log2": int(self.log2), "guard": values.guard}

    def check(self, node: Node, values_node: Node) -> None:
        """Check that the machine can execute attention.

        Raises:
            UnfitProgramError: It cannot.
        """
        lines, most = self.lines, 1 << (SCORE_BITS - 15)
        self.placing.tokens_fit(node, self.queries)
        require(
            self.width % lines == 0,
            node.name,
            f"a head has {self.width} channels, which are no whole groups of {lines}",
            "use fewer lines",
        )
        require(
            self.width <= most,
            node.name,
            f"a head has {self.width} channels",
            f"scores have {SCORE_BITS} bits, which hold heads of at most {most} channels",
        )
        require(self.values.output_bits == 8, values_node.name, "it puts out 16 bits", LEVER)
        require(
            not self.log2 or self.key_groups > 1,
            node.name,
            f"it has {self.keys} keys, and log2 codes need more than {lines}, the number of lines",
            "use fewer lines, or quantize with a linear softmax",
        )

    def place(self) -> None:
        """Add the operations of all heads, and free their memory."""
        self.scores(0)
        for head in range(self.heads):
            if head + 1 < self.heads:
                self.scores(head + 1)
            self.attend(head)
        for scores, codes in self.slots:
            self.placing.rooms["score_words"].free(scores)
            self.placing.rooms["code_words"].free(codes)
        self.placing.done |= set(self.names)
        self.placing.release(*self.inputs)

    def scores(self, head: int) -> None:
        """Add the scores of a head and their softmax."""
        placing, queries, groups = self.placing, self.queries, self.key_groups
        node, softmax_node, _ = self.names
        scores, codes = self.slots[head % 2]
        begins, first = placing.written, head * self.per_head
        for stream in ("result", "written"):
            placing.parts.append(
                Part(node, stream, groups * queries, queries, False, channels=self.keys, head=head)
            )
        placing.array(
            node,
            {
                "groups": groups, "chunks": self.per_head, "tokens": queries,
                **placing.operand(self.q, first), "stored": 1,
                "key_base": self.k.base + first * self.keys, "key_group": self.lines, "key_chunk": self.keys,
                "key_tail": self.tail, "tail_of_groups": 1,
                "key_wait": self.k.count + (first + self.per_head) * self.keys,
                "result": Result.RAW, "dest": Dest.SCORES, "dest_base": scores, "dest_stride": queries,
            },
        )  # fmt: skip
        placing.descriptors.append(
            Descriptor(
                Kind.SOFTMAX,
                {
                    "rows": queries, "words": groups, "tail": self.tail, "base": scores, "stride": queries,
                    "dest_base": codes, "dest_stride": self.steps,
                    "wait_base": begins + (groups - 1) * queries + 1,
                    "shift": int(self.softmax.shift[head]), **self.form, "slot": head % 2,
                },
                softmax_node,
            )
        )  # fmt: skip
        placing.parts.append(
            Part(softmax_node, "softmax", groups * queries, queries, True, channels=self.keys, head=head)
        )

    def attend(self, head: int) -> None:
        """Add attention × V of a head."""
        placing, queries, steps = self.placing, self.queries, self.steps
        name, first, codes = self.names[2], head * self.per_head, self.slots[head % 2][1]
        self.trace(head)
        parameters = self.parameters[first : first + self.per_head]
        placing.load(name, LoadTo.WEIGHTS, weight_stream(self.lines, parameters))
        # A reader of the attention output waits for the last head; earlier heads were written before.
        self.out.count = placing.written - first * queries
        if self.log2:
            # The softmax counts a single last row as two.
            step = {"wait_base": placing.softmax_rows + 2, "wait_token": 2}
            step |= {"second_step": 1, "second_short": queries % 2}
        else:
            step = {"wait_base": placing.softmax_rows + 1, "wait_token": 1}
        placing.array(
            name,
            {
                "groups": self.per_head, "chunks": self.key_groups, "tokens": steps, "operand": Operand.CODES,
                "base": codes, "stride": steps, **step, **self.form, "stored": 1, "by_lane": 1,
                "key_base": self.v.base + first * self.keys, "key_group": self.keys, "key_chunk": self.lines,
                "key_tail": self.tail, "key_wait": self.v.count + (first + self.per_head) * self.keys,
                "parameters": 1, "result": Result.QUOTIENT, "narrow": 1, "slot": head % 2,
                "dest": Dest.OPERANDS, "dest_base": self.out.base + first * queries, "dest_stride": queries,
            },
        )  # fmt: skip
        placing.softmax_rows += queries + (queries % 2 if self.log2 else 0)

    def trace(self, head: int) -> None:
        """Add the parts of a head's output to the traces: with log2 codes, even queries come before odd ones."""
        parts, name, queries = self.placing.parts, self.names[2], self.queries
        for group in range(self.per_head):
            channel = head * self.width + group * self.lines
            for odd in range(2 if self.log2 else 1):
                rows = (queries + 1 - odd) // 2 if self.log2 else queries
                for stream in ("result", "written"):
                    parts.append(
                        Part(
                            name, stream, rows, rows, False, first_row=odd, row_step=2 if self.log2 else 1,
                            first_channel=channel, channels=self.lines,
                        )
                    )  # fmt: skip
