"""Sizes of the accelerator, which are chosen before generation, and its fixed latencies."""

from dataclasses import asdict, dataclass, fields

from p2vit.accel.load_store.formats import COLUMN_PARAMETER_BYTES
from p2vit.errors import P2vitError
from p2vit.numerics.attention_values import RECIPROCAL_FRACTION
from p2vit.numerics.layernorm import TABLE_FIRST, TABLE_LAST

#: Largest left and right shift of the re-quantizer, and largest left shift of a softmax distance.
MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT, MAX_DISTANCE_SHIFT = 7, 31, 15
#: Cycles from a read request to its answer that the compiler assumes; default of the test bench.
MEMORY_LATENCY = 8
#: Descriptors in the queue of each engine; slots of every buffer; loads that may be outstanding.
QUEUE_DEPTH, SLOTS, IN_FLIGHT = 8, 2, 8
#: Reads of the external memory that may be in flight. Up to this latency, less one, a word arrives in every cycle.
MAX_READS = 1024
#: Cycles of the reciprocal of a row sum: normalisation, then one quotient bit per cycle.
DIVIDE_CYCLES = RECIPROCAL_FRACTION + 3
#: Cycles from the array's counters to the operands, and from the operands to the result.
OPERAND_LATENCY, LINE_LATENCY = 2, 6
#: Cycles from the array's last counter value to the last word in the output buffer.
ARRAY_DRAIN = OPERAND_LATENCY + LINE_LATENCY + 1
#: Cycles from a number and its parameters to the result of the lane, and cycles to drain a pass.
LANE_LATENCY = 5
VECTOR_DRAIN = LANE_LATENCY + 2
#: Cycles of the scalar steps of a LayerNorm after its first pass, and after its second pass before the factors are
#: read.
SHIFT_STEPS, TOTAL_STEPS = 6, 3
#: Size → smallest and largest allowed value.
RANGES = {
    "lines": (2, 64),
    "lanes": (2, 64),
    "row_rows": (1, 4096),
    "weight_rows": (1, 32768),
    "columns": (2, 8192),
    "vector_columns": (8, 16384),
    "table_groups": (1, 256),
}
#: Entries of the table of reciprocal square roots.
NORM_TABLE_ENTRIES = TABLE_LAST - TABLE_FIRST + 1


@dataclass(frozen=True)
class RtlMachine:
    """Sizes of the generated accelerator.

    Attributes:
        lines: Tokens processed in parallel: lines of the MAC array and lanes of the vector engine, 2 to 64. A memory
            word has one byte for each of them.
        lanes: Terms that a line multiplies per cycle, 2 to 64, even.
        row_rows: Depth of one row buffer, in rows of ``lanes`` terms. The longest row has ``row_rows · lanes`` terms.
        weight_rows: Depth of one weight buffer, in rows of ``lanes`` terms per column of a group. A tile of c columns
            of K terms takes ⌈c / lines⌉ · ⌈K / lanes⌉ rows.
        columns: Depth of the output buffer and of the column-parameter buffers, in columns.
        vector_columns: Depth of a vector buffer in columns, which limits the channels of a LayerNorm and the keys of a
            softmax.
        table_groups: Lookup tables of 256 entries that the vector engine can hold.
        shifters: Whether each lane of a line has a shifter besides its multiplier, for log2 codes.
        split: Whether each multiplier can split into two of 4-bit weights, so that a step takes two columns of a linear
            layer with 4-bit weights and puts out two results.
    """

    lines: int = 16
    lanes: int = 16
    row_rows: int = 128
    weight_rows: int = 512
    columns: int = 512
    vector_columns: int = 1024
    table_groups: int = 32
    shifters: bool = True
    split: bool = False

    def __post_init__(self) -> None:
        """Check every size.

        Raises:
            P2vitError: A size is not allowed; the message names the parameter, its value and the allowed range.
        """
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise P2vitError(
                    f"RTL machine: {name} is {value!r}, but must be a whole number from {low} to {high}"
                )
        if self.lanes % 2:
            raise P2vitError(
                f"RTL machine: lanes is {self.lanes}; it must be even, as 4-bit weights arrive two terms at a time"
            )
        if self.columns < self.lines:
            raise P2vitError(
                f"RTL machine: columns is {self.columns}; with {self.lines} lines it must be {self.lines} or more, as "
                "weight columns come in groups of as many as there are lines"
            )
        if self.split and self.columns < 2 * self.lines:
            raise P2vitError(
                f"RTL machine: columns is {self.columns}; with {self.lines} lines and split multipliers it must be "
                f"{2 * self.lines} or more, as 4-bit weights come in groups of twice as many columns as there are lines"
            )

    @property
    def parameter_words(self) -> int:
        """Memory words of the parameters of one column."""
        return -(-COLUMN_PARAMETER_BYTES // self.lines)

    @property
    def longest_row(self) -> int:
        """Number of terms of the longest row that a line can hold."""
        return self.row_rows * self.lanes

    @property
    def name(self) -> str:
        """Name for files, e.g. ``16x16``."""
        return f"{self.lines}x{self.lanes}"

    def as_dict(self) -> dict[str, int]:
        """Return all parameters, for manifests."""
        return asdict(self)

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return tuple(field.name for field in fields(cls))


#: Machines by name. ``rtl-small`` fits the digits model and is small enough for Icarus Verilog.
MACHINES: dict[str, RtlMachine] = {
    "rtl": RtlMachine(),
    "rtl-wide": RtlMachine(lines=32, lanes=16, weight_rows=768),
    "rtl-small": RtlMachine(
        lines=8, lanes=8, row_rows=16, weight_rows=128, columns=128, vector_columns=128, table_groups=2
    ),
}
