"""Placing operations: where tensors are on the chip, which counts readers wait for, loads and traces."""

from collections.abc import Mapping
from dataclasses import dataclass

from p2vit.hdl.chunks.compile.compiled import Part
from p2vit.hdl.chunks.compile.memories import Room
from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.chunks.top.descriptor import Descriptor, Kind, LoadTo, Operand
from p2vit.hdl.compile.errors import require, unfit
from p2vit.hdl.compile.memory import MemoryImage
from p2vit.hdl.compile.plan import readers
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, Node

#: Parameters of a channel of the array, and of the LayerNorm: name → width, first bit. The hardware decodes the same.
ARRAY_PLACES = {"bias": (32, 0), "shift": (6, 32), "left_a": (4, 38), "left_b": (4, 42), "sum_shift": (4, 46)}
NORM_PLACES = {"bias": (32, 0), "gain": (16, 32), "gain_shift": (6, 48), "left": (4, 54), "shift": (5, 58)}
LEVER = (
    "the chunk organisation executes ViT, DeiT and DINOv2 that select the class token; use the load-store machines "
    "('--hw rtl'), or cost the program on a modelled machine ('p2vit simulate --hw paper')"
)


@dataclass
class Place:
    """Where a tensor is on the chip, and what a reader waits for.

    Attributes:
        room: Memory.
        base: Address of channel group 0 of row 0.
        rows: Rows, which is also the distance of two channel groups.
        groups: Channel groups.
        source: Counter and memory for the array, if it can read the tensor.
        count: Count when the first word (or row) is written, less one.
        by_row: Whether the counter counts rows.
        tiles: Row tiles that one operation writes each: first row, rows, and the count before its first word.
        whole: Whether the words of a group are not written in the order of its rows, so that a reader waits for all.
    """

    room: Room
    base: int
    rows: int
    groups: int
    source: Operand
    count: int
    by_row: bool = False
    tiles: tuple[tuple[int, int, int], ...] = ()
    whole: bool = False


def results_of(fields: Mapping[str, int] | Descriptor) -> int:
    """Return the number of results of an operation of the array, in words."""

    def value(name: str) -> int:
        return fields.get(name, 0) if isinstance(fields, Mapping) else fields[name]

    groups, tokens, short = value("groups"), value("tokens"), value("second_short")
    if value("pairs"):
        return (2 * groups - short) * tokens
    return groups * (2 * tokens - short) if value("log2") else groups * tokens


class Placing:
    """State of the compiler, and what the operators have in common.

    Args:
        program: Integer program.
        machine: Machine.
    """

    def __init__(self, program: IntegerProgram, machine: ChunkMachine) -> None:
        self.program, self.machine, self.lines = program, machine, machine.lines
        self.by_name = {node.name: node for node in program.nodes}
        self.reads = readers(program)
        self.memory = MemoryImage(machine.lines)
        rooms = ("stream_words", "norm_words", "operand_words", "key_words", "score_words", "code_words")
        self.rooms = {name: Room(name, getattr(machine, name)) for name in rooms}
        self.places: dict[str, Place] = {}
        self.left: dict[str, int] = {}
        self.descriptors: list[Descriptor] = []
        self.parts: list[Part] = []
        self.aliases: dict[str, tuple[str, int]] = {}
        self.constant_rows: dict[str, IntArray] = {}
        self.written = self.norm_rows = self.softmax_rows = 0
        self.roots: IntArray | None = None
        #: Load of prefix tokens and positions that waits for its place between the weights.
        self.positions: Descriptor | None = None
        self.done: set[str] = set()
        self.logits = 0
        self.pixels = 0

    def groups_of(self, channels: int) -> int:
        """Return the number of groups of channels."""
        return -(-channels // self.lines)

    def only_reader(self, name: str, kind: type) -> Node | None:
        """Return the only reader of a tensor if it has that operator."""
        found = self.reads[name]
        return found[0] if len(found) == 1 and isinstance(found[0].operator, kind) else None

    def place(self, node: str, room: str, rows: int, groups: int, source: Operand, *, count: int | None = None,
              by_row: bool = False) -> Place:  # fmt: skip
        """Allocate a tensor."""
        base = self.rooms[room].allocate(node, rows * groups)
        self.places[node] = Place(
            self.rooms[room], base, rows, groups, source, self.written if count is None else count, by_row
        )
        self.left[node] = len(self.reads[node])
        return self.places[node]

    def source(self, reader: Node, name: str, room: str) -> Place:
        """Return the place of an operand.

        Raises:
            UnfitProgramError: The tensor is not in the memory that the reader's chunk reads.
        """
        found = self.places.get(name)
        if found is None or found.room.name != room:
            raise unfit(
                reader.name, f"no chunk writes {name} where {type(reader.operator).__name__} reads it", LEVER
            )
        return found

    def release(self, *names: str) -> None:
        """Count one reader of some tensors as placed, and free those without further readers."""
        for name in names:
            self.left[name] -= 1
            if self.left[name] == 0:
                place = self.places[name]
                place.room.free(place.base)

    def load(self, node: str, to: LoadTo, words: IntArray, base: int = 0) -> None:
        """Add a load of constant words."""
        self.load_from(
            node, {"to": to, "address": self.memory.constant(words), "words": len(words), "base": base}
        )

    def load_from(self, node: str, fields: Mapping[str, int]) -> None:
        """Add a load."""
        self.descriptors.append(Descriptor(Kind.LOAD, fields, node))

    def array(self, node: str, fields: Mapping[str, int]) -> None:
        """Add an operation of the array."""
        self.descriptors.append(Descriptor(Kind.ARRAY, fields, node))
        self.written += results_of(fields)

    def operand(self, place: Place, first_group: int = 0, first_row: int = 0) -> dict[str, int]:
        """Return the fields of the broadcast operand, from one of its channel groups and rows on."""
        fields = {
            "operand": place.source,
            "base": place.base + first_group * place.rows + first_row,
            "stride": place.rows,
            "signed_operand": 1,
        }
        if place.source == Operand.PATCHES:
            return {**fields, "wait_base": place.count}
        if place.by_row:
            return {**fields, "wait_base": place.count + first_row + 1, "wait_token": 1}
        if place.whole:
            return {
                **fields,
                "wait_base": place.count + (first_group + 1) * place.rows,
                "wait_chunk": place.rows,
            }
        return {
            **fields,
            "wait_base": place.count + first_group * place.rows + first_row + 1,
            "wait_chunk": place.rows,
            "wait_token": 1,
        }

    def tokens_fit(self, node: Node, rows: int) -> None:
        """Check the number of tokens."""
        require(
            rows <= self.machine.tokens, node.name, f"it has {rows} tokens; tokens is {self.machine.tokens}",
            f"raise tokens to {rows} or more",
        )  # fmt: skip
