"""Sizes of the chunk organisation, which are chosen before generation, and its fixed latencies."""

from dataclasses import asdict, dataclass, fields

from p2vit.errors import P2vitError

#: Largest left and right shift of the re-quantizer.
MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT = 7, 31
#: Width of a score in the score memory.
SCORE_BITS = 24
#: Words of the parameters of one group of channels: 8 bytes for each line.
PARAMETER_WORDS = 8
#: Entries of the table of a lookup, and of the table of reciprocal square roots.
TABLE_ENTRIES, ROOT_ENTRIES = 256, 768
#: Descriptors in the queue of each chunk.
QUEUE_DEPTH = 8
#: Cycles from a read request to its answer that the timing model assumes; default of the test bench.
MEMORY_LATENCY = 8

#: Cycles from the issue of an operand to the cycle in which its result is written: operand memory, operand register,
#: products, their sum, accumulator, bias, reciprocal, shift, table, alignment, and the shift of the sum.
RESULT_LATENCY = 11
#: Cycles from the last word of a row in a pass of the LayerNorm to the first word in the next pass, and from the last
#: word of the third pass to the count of the row.
STATISTICS_LATENCY, SQUARES_LATENCY, NORM_LATENCY = 4, 10, 7
#: Rows that the LayerNorm chunk holds at once.
NORM_ROWS = 8
#: Cycles from the last word of a row in the second pass of the softmax to the count of the row: codes, sum, reciprocal.
SOFTMAX_LATENCY = 29

#: Size → smallest and largest allowed value.
RANGES = {
    "lines": (8, 64),
    "tokens": (8, 4096),
    "row_words": (2, 1024),
    "stream_words": (8, 1 << 16),
    "norm_words": (8, 1 << 16),
    "operand_words": (8, 1 << 16),
    "key_words": (8, 1 << 16),
    "score_words": (8, 1 << 16),
    "code_words": (8, 1 << 16),
    "fifo_words": (64, 1 << 14),
    "token_tiles": (1, 2),
}


@dataclass(frozen=True)
class ChunkMachine:
    """Sizes of the chunk organisation.

    Attributes:
        lines: Output channels (or keys) in parallel, and terms per line and cycle: a power of two, 8 to 64. A word of
            the memories holds one number for each of them.
        tokens: Accumulators of a line: the most tokens of an image, 8 to 4096.
        row_words: Most words of a row that is normalised: ⌈channels / lines⌉.
        stream_words: Words of the residual stream's memory, of 16-bit numbers.
        norm_words: Words of the memory of normalised rows, of 8-bit numbers.
        operand_words: Words of the memory of the array's own operands (patches, queries, attention, MLP).
        key_words: Words of the memory of keys and values.
        score_words: Words of the memory of scores, of 24-bit numbers.
        code_words: Words of the memory of softmax codes, of 8-bit numbers.
        fifo_words: Depth of the weight queue, in words of external memory.
        token_tiles: 2: the layer before a LayerNorm, and the first groups of the layer after it, work on one half of
            the tokens after the other, so that rows flow through the LayerNorm while the array works. Their weights
            are loaded twice. 1: the array waits for the LayerNorm.
    """

    lines: int = 16
    tokens: int = 256
    row_words: int = 32
    stream_words: int = 4864
    norm_words: int = 4864
    operand_words: int = 19200
    key_words: int = 9728
    score_words: int = 5376
    code_words: int = 5376
    fifo_words: int = 1024
    token_tiles: int = 1

    def __post_init__(self) -> None:
        """Check every size.

        Raises:
            P2vitError: A size is not allowed; the message names the parameter, its value and the allowed range.
        """
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise P2vitError(
                    f"chunk machine: {name} is {value!r}, but must be a whole number from {low} to {high}"
                )
        if self.lines & (self.lines - 1):
            raise P2vitError(f"chunk machine: lines is {self.lines}; it must be a power of two from 8 to 64")

    @property
    def name(self) -> str:
        """Name for files, e.g. ``16x16``."""
        return f"{self.lines}x{self.lines}"

    def as_dict(self) -> dict[str, int]:
        """Return all parameters, for manifests."""
        return asdict(self)

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return tuple(field.name for field in fields(cls))


#: Machines by name. ``chunk-small`` fits the digits model and is small enough for Icarus Verilog.
MACHINES: dict[str, ChunkMachine] = {
    "chunk": ChunkMachine(),
    "chunk-wide": ChunkMachine(
        lines=32, stream_words=8192, norm_words=8192, operand_words=19456, key_words=9728, score_words=4096,
        code_words=4096,
    ),
    "chunk-small": ChunkMachine(
        lines=8, tokens=32, row_words=16, stream_words=256, norm_words=256, operand_words=1024, key_words=512,
        score_words=128, code_words=128, fifo_words=64,
    ),
}  # fmt: skip
