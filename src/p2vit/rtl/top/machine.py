"""Size of the accelerator: what is chosen before any hardware is generated, and what it implies."""

from dataclasses import asdict, dataclass, fields

from p2vit.errors import P2vitError
from p2vit.numerics.attention_values import RECIPROCAL_FRACTION
from p2vit.numerics.layernorm import TABLE_FIRST, TABLE_LAST

#: Registers of one line besides its accumulators: 4 bytes of bias or row sum, and a shift.
LINE_PARAMETER_WORDS = 5
#: Bytes of one column's parameters: bias 32, gain 16, shift 6, two left shifts of 4 bits, 2 spare.
COLUMN_PARAMETER_BYTES = 8
#: Largest shifts of the re-quantizer to the left and to the right, and of a softmax' distance to the left.
MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT, MAX_DISTANCE_SHIFT = 7, 31, 15
#: Bytes of the row sum behind the codes of a softmax.
SUM_BYTES = 4
#: Cycles from a read request to its answer that the compiler plans for, and the test bench's default.
MEMORY_LATENCY = 8
#: Descriptors that wait in front of each engine; slots of every buffer; loads whose answers may be outstanding.
QUEUE_DEPTH, SLOTS, IN_FLIGHT = 8, 2, 8
#: Cycles of the reciprocal of a row sum: its width, then one quotient bit per cycle.
DIVIDE_CYCLES = RECIPROCAL_FRACTION + 3
#: From an array counter's value to its operands (address, memory or selection), and from those to the result.
OPERAND_LATENCY, LINE_LATENCY = 2, 6
#: From the array's last counter value to the last word in the output buffer.
ARRAY_DRAIN = OPERAND_LATENCY + LINE_LATENCY + 1
#: Cycles from a number and its parameters to the lane's result; and of a pass to run dry.
LANE_LATENCY = 5
VECTOR_DRAIN = LANE_LATENCY + 2
#: Scalar steps of a LayerNorm between its first and second pass, and after the second, before the factors are read.
SHIFT_STEPS, TOTAL_STEPS = 6, 3
#: Entries of the reciprocal-square-root table.
NORM_TABLE_ENTRIES = TABLE_LAST - TABLE_FIRST + 1


@dataclass(frozen=True)
class RtlMachine:
    """Parameters of the generated accelerator.

    Attributes:
        lines: Tokens worked on at once: lines of the MAC array, and lanes of the vector chunk. The memory's word has
            as many bytes, one of each token. 2 to 64.
        lanes: Terms that a line multiplies per cycle. 2 to 64, even.
        row_rows: Depth of one row buffer in rows of ``lanes`` terms: the longest row is ``row_rows · lanes`` terms.
        weight_rows: Depth of one weight buffer in the same unit: a tile of c columns of K terms takes
            ⌈c / lines⌉ · ⌈K / lanes⌉.
        columns: Depth of an output buffer and of the column-parameter buffers, in columns.
        vector_columns: Depth of a vector buffer: the most channels of a LayerNorm, the most keys of a softmax.
        table_groups: Tables of 256 entries that the lookup holds at once.
        shifters: Whether lines have a shifter per lane beside the multiplier, for log2 codes.
    """

    lines: int = 16
    lanes: int = 16
    row_rows: int = 128
    weight_rows: int = 512
    columns: int = 512
    vector_columns: int = 1024
    table_groups: int = 32
    shifters: bool = True

    def __post_init__(self) -> None:
        """Check every size.

        Raises:
            P2vitError: naming the parameter, its value and what is allowed.
        """
        limits = {
            "lines": (2, 64),
            "lanes": (2, 64),
            "row_rows": (1, 4096),
            "weight_rows": (1, 32768),
            "columns": (2, 8192),
            "vector_columns": (8, 16384),
            "table_groups": (1, 256),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise P2vitError(f"RTL machine: {name} is {value!r}; allowed are {low} to {high}")
        if self.lanes % 2:
            raise P2vitError(
                f"RTL machine: lanes is {self.lanes}; it must be even, as 4-bit weights arrive two terms at a time"
            )
        if self.columns < self.lines:
            raise P2vitError(
                f"RTL machine: columns is {self.columns}; with {self.lines} lines it must be {self.lines} or more, as "
                "weight columns come in groups of as many as there are lines"
            )

    @property
    def parameter_words(self) -> int:
        """Memory words of one column's parameters."""
        return -(-COLUMN_PARAMETER_BYTES // self.lines)

    @property
    def longest_row(self) -> int:
        """Terms of the longest row that a line holds."""
        return self.row_rows * self.lanes

    @property
    def name(self) -> str:
        """Of files: ``16x16``."""
        return f"{self.lines}x{self.lanes}"

    def as_dict(self) -> dict[str, int]:
        """For manifests: every parameter."""
        return asdict(self)

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(field.name for field in fields(cls))


#: Machines by name. ``small`` fits the digits model and a second simulator's patience.
MACHINES: dict[str, RtlMachine] = {
    "rtl": RtlMachine(),
    "rtl-wide": RtlMachine(lines=32, lanes=16, weight_rows=768),
    "rtl-small": RtlMachine(
        lines=8, lanes=8, row_rows=16, weight_rows=128, columns=128, vector_columns=128, table_groups=2
    ),
}
