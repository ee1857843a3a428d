"""Machine description: chunks, buffers, memory and clock. The name of each key ends in its unit.

The MAC array is row-stationary. A *line* keeps the row of one token, or a slice of it, stationary while the weights
are broadcast to all lines. The lanes of a line compute a dot product of ``lanes_per_line`` terms per cycle. So one
output column, for as many tokens as there are lines, takes ⌈inner / lanes_per_line⌉ cycles.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from p2vit.accel.problems import AccelError

Count = Annotated[int, Field(ge=1, le=65536, strict=True)]
Depth = Annotated[int, Field(ge=1, le=256, strict=True)]
Dsps = Annotated[float, Field(ge=0, le=64, strict=True)]


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MacArray(_Described):
    """Precision-scalable multiply-accumulate array."""

    lines: Count = Field(description="Tokens processed in parallel.")
    lanes_per_line: Count = Field(
        description="8×8-bit products of one line per cycle, summed into one accumulator."
    )
    pipeline_depth_cycles: Depth = Field(description="Cycles from operands to accumulator.")
    narrow_weight_rate: Literal[1, 2] = Field(
        2,
        description="Output columns per step with 4-bit weights: 2 where an 8×8 splits into two 8×4.",
    )
    macs_per_dsp: Annotated[float, Field(ge=0, le=8)] = Field(
        0, description="8×8 MACs packed into one FPGA DSP per cycle; 0 on an ASIC."
    )

    @property
    def macs_per_cycle(self) -> int:
        """8×8 MACs of the whole array per cycle."""
        return self.lines * self.lanes_per_line


class ShifterArray(_Described):
    """Shift-and-accumulate array: attention × V with log2 codes."""

    lines: Count = Field(description="Rows of attention codes processed in parallel.")
    lanes_per_line: Count = Field(
        description="Shifted values of one line per cycle, summed into one accumulator."
    )
    pipeline_depth_cycles: Depth = Field(description="Cycles from operands to accumulator.")


class RowChunk(_Described):
    """Chunk that needs whole rows: LayerNorm or softmax."""

    lanes: Count = Field(description="Elements of one row per cycle.")
    passes: Annotated[int, Field(ge=1, le=8)] = Field(description="Passes over each row.")
    pipeline_depth_cycles: Depth = Field(
        description="Cycles from the last element in to the last element out."
    )
    dsps_per_lane: Dsps = Field(0, description="FPGA DSPs of one lane; 0 on an ASIC.")


class StreamChunk(_Described):
    """Chunk that takes elements in any order: GELU table, elementwise operations."""

    lanes: Count = Field(description="Elements per cycle.")
    pipeline_depth_cycles: Depth = Field(description="Cycles from element in to element out.")
    dsps_per_lane: Dsps = Field(0, description="FPGA DSPs of one lane; 0 on an ASIC.")


RequantMethod = Literal["shift", "multiplier8", "multiplier16", "multiplier32", "float32"]


class Requantization(_Described):
    """Lanes that re-quantize int32 accumulators to 8 or 16 bits."""

    method: RequantMethod = Field(
        description="A shift (power-of-two scales), an integer multiplier, or float32."
    )
    lanes: Count = Field(description="Accumulators processed in parallel.")
    initiation_interval_cycles: Depth = Field(1, description="Cycles between two accumulators of one lane.")
    pipeline_depth_cycles: Depth = Field(description="Cycles from accumulator in to integer out.")
    dsps_per_lane: Dsps = Field(
        0, description="FPGA DSPs of one lane (the reciprocal of the softmax row); 0 on an ASIC."
    )


class EngineChunks(_Described):
    """Chunks (sub-processors) of a machine without a shifter array."""

    mac_array: MacArray
    layernorm: RowChunk
    softmax: RowChunk
    requantization: Requantization
    gelu: StreamChunk
    elementwise: StreamChunk = Field(description="Residual adds, position constants, moves, pooling, affine.")


class Chunks(EngineChunks):
    """Chunks (sub-processors) of a machine with a shifter array."""

    shifter_array: ShifterArray


class Buffer(_Described):
    """One on-chip buffer."""

    # A generated accelerator may have buffers of a few bytes. The technology table is extrapolated to them.
    size_bytes: Annotated[int, Field(ge=8, le=2**30, strict=True)]
    banks: Annotated[int, Field(ge=1, le=1024)]
    ports_per_bank: Annotated[int, Field(ge=1, le=2)] = 1
    bytes_per_port_per_cycle: Annotated[int, Field(ge=1, le=1024)]

    @property
    def bytes_per_cycle(self) -> int:
        """Peak bandwidth, all banks and ports."""
        return self.banks * self.ports_per_bank * self.bytes_per_port_per_cycle


class RowBuffer(_Described):
    """Buffer of the stationary rows, with a bank for every line."""

    size_bytes: Annotated[int, Field(ge=1024, le=2**30, strict=True)] = Field(
        description="All lines together, double-buffered: half is read while the other half is filled."
    )
    banks: Annotated[int, Field(ge=1, le=65536)]


class Buffers(_Described):
    """On-chip buffers."""

    activation: Buffer = Field(description="Residual stream, activations, q, k, v.")
    weight: Buffer = Field(
        description="Weight tiles, double-buffered: half is read while the other half is filled."
    )
    accumulator: Buffer = Field(description="int32 scores between the MAC array and the softmax chunk.")

    @property
    def all(self) -> dict[str, Buffer | RowBuffer]:
        """Every buffer by its name."""
        return {"activation": self.activation, "weight": self.weight, "accumulator": self.accumulator}


class ChunkBuffers(Buffers):
    """On-chip buffers of a machine of chunks."""

    row: RowBuffer | None = Field(
        None,
        description="Stationary rows. Without the key there is no limit, and no energy or area is counted.",
    )

    @property
    def all(self) -> dict[str, Buffer | RowBuffer]:
        """Every buffer by its name."""
        return super().all | ({"row": self.row} if self.row else {})


class Dram(_Described):
    """Off-chip memory."""

    kind: str = Field(description="Key of the technology table's DRAM energies.")
    bandwidth_gbytes_per_s: Annotated[float, Field(gt=0, le=10000, strict=True)] = Field(
        description="Sustained bandwidth; 1 GB is 10⁹ bytes."
    )
    latency_ns: Annotated[float, Field(ge=0, le=10000, strict=True)] = Field(
        description="Time from a request to its first byte."
    )


class LoadStore(_Described):
    """Sizes and timing of a load–store machine, besides its chunks.

    Four engines execute their queues in order: load, array (MACs and shifters), vector (LayerNorm, softmax, GELU,
    elementwise) and store. Tensors are in external memory between operations; it moves one word of ``lines`` bytes per
    cycle and direction. A slot of the weight buffer has its size divided by ``slots``.
    """

    slots: Annotated[int, Field(ge=2, le=8)] = Field(
        2, description="Slots of every buffer: one is in use while the others are filled or stored."
    )
    row_terms: Annotated[int, Field(ge=1, le=2**20, strict=True)] = Field(
        description="Longest row that a line holds: inputs of a linear, keys of attention."
    )
    columns_per_run: Count = Field(
        description="Columns of one run of the array: depth of its output buffer and of its column parameters."
    )
    vector_columns: Count = Field(
        description="Columns of one run of the vector engine: channels of a LayerNorm, keys of a softmax and its "
        "row sum."
    )
    tables: Annotated[int, Field(ge=1, le=256)] = Field(description="GELU tables that the engine can hold.")
    table_columns: Count = Field(
        64,
        description="Tiles of a linear layer end at multiples of this many columns, so that tables can follow "
        "tile by tile.",
    )
    shifters: bool = Field(
        True, description="Whether a lane of the array has a shifter beside its multiplier, for log2 codes."
    )
    run_cycles: Annotated[int, Field(ge=0, le=256)] = Field(
        1, description="Cycles of an engine between two runs, in addition to fill and drain."
    )
    reciprocal_cycles: Annotated[int, Field(ge=0, le=256)] = Field(
        description="Cycles before an attention × V run, for the reciprocals of the row sums."
    )
    norm_table_words: Annotated[int, Field(ge=0, le=65536)] = Field(
        0, description="Words of the LayerNorm table (reciprocal square roots), loaded once."
    )
    norm_row_cycles: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Cycles of a LayerNorm run for each row of its group, for the reciprocal root of the row.",
    )
    queue_depth: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="Entries of the queue in front of each engine."
    )
    loads_in_flight: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="Loads that may be outstanding."
    )


class Pipelining(_Described):
    """Which work overlaps."""

    inter_layer: bool = Field(
        True,
        description="Row groups flow from chunk to chunk: LayerNorm into projections, scores into softmax "
        "into attention × V, FC1 into GELU. Off: one operation at a time.",
    )
    intra_layer: bool = Field(
        True,
        description="Re-quantize a column while the MACs of the next column run. Off: the line waits.",
    )


class OneAtATime(_Described):
    """Which work overlaps on a machine that executes one operation at a time."""

    inter_layer: Literal[False] = Field(False, description="Always false: one operation at a time.")
    intra_layer: bool = Field(
        True, description="Re-quantize a column while the MACs of the next column run. Off: the line waits."
    )


class Machine(_Described):
    """Description of a whole accelerator.

    The key ``organisation`` selects the class: `ChunkMachine`, `SingleEngineMachine` or `LoadStoreMachine`. A key that
    has no meaning for that organisation is refused.
    """

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=64)]
    summary: str
    known: tuple[str, ...] = Field((), description="Published facts that the description follows.")
    assumed: tuple[str, ...] = Field(
        (), description="Values that are not published and were chosen for this description, with the reason."
    )
    organisation: Literal["chunks", "single_engine", "load_store"] = Field(
        "chunks",
        description="Separate chunks that work in parallel; or one reconfigurable engine that executes one operation "
        "at a time; or load, array, vector and store engines with tensors in external memory between operations.",
    )
    clock_mhz: Annotated[float, Field(gt=0, le=5000, strict=True)]
    technology: str = Field(description="Name of a shipped table or path of a YAML file.")
    chunks: EngineChunks
    buffers: Buffers
    dram: Dram
    load_store: LoadStore | None = None
    pipelining: Pipelining | OneAtATime = Pipelining(inter_layer=True, intra_layer=True)

    #: Whether rows can flow from chunk to chunk without a trip to memory.
    flows: ClassVar[bool] = False
    #: Chunks whose clock stops while they wait.
    gated: ClassVar[tuple[str, ...]] = ()
    #: Path of a figure → path of the figure that it must equal. A change of the second changes the first.
    tied: ClassVar[dict[str, str]] = {}

    @classmethod
    def kind_of(cls, data: Any) -> type["Machine"]:
        """Return the class for the description's organisation; this class if the organisation is unknown."""
        if cls is not Machine or not isinstance(data, dict):
            return cls
        kinds = {kind.model_fields["organisation"].default: kind for kind in KINDS}
        organisation = data.get("organisation", "chunks")
        return kinds.get(organisation, cls) if isinstance(organisation, str) else cls

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate a description with the class of its organisation."""
        kind = cls.kind_of(obj)
        if kind is not cls:
            return kind.model_validate(obj, **options)  # type: ignore[return-value]
        return super().model_validate(obj, **options)

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Sustained DRAM bytes per clock cycle."""
        return self.dram.bandwidth_gbytes_per_s * 1e3 / self.clock_mhz

    @property
    def dram_latency_cycles(self) -> int:
        """Cycles from a DRAM request to its first byte."""
        return round(self.dram.latency_ns * self.clock_mhz / 1e3)

    @property
    def switch_cycles(self) -> int:
        """Cycles to reconfigure the machine between two operations."""
        return 0

    @property
    def shifters(self) -> ShifterArray | None:
        """Shifter array; None if the machine has none."""
        return self.chunks.shifter_array if isinstance(self.chunks, Chunks) else None

    @property
    def shifter_lanes(self) -> int:
        """Number of shifters in the machine."""
        array = self.shifters
        return array.lines * array.lanes_per_line if array else 0

    @property
    def dsps(self) -> float:
        """FPGA DSPs of all chunks; 0 on an ASIC."""
        chunks = self.chunks
        if not chunks.mac_array.macs_per_dsp:
            return 0.0
        side = (chunks.layernorm, chunks.softmax, chunks.requantization, chunks.gelu, chunks.elementwise)
        return chunks.mac_array.macs_per_cycle / chunks.mac_array.macs_per_dsp + sum(
            chunk.lanes * chunk.dsps_per_lane for chunk in side
        )

    def with_pipelining(self, *, inter_layer: bool, intra_layer: bool) -> "Machine":
        """Return a copy of the machine with other pipelining switches.

        Raises:
            AccelError: ``inter_layer`` is true and the machine executes one operation at a time.
        """
        kind = type(self.pipelining)
        if inter_layer and kind is OneAtATime:
            raise AccelError(
                self.name,
                ["pipelining.inter_layer: one engine does one operation at a time, so nothing can overlap"],
            )
        changed = kind.model_validate({"inter_layer": inter_layer, "intra_layer": intra_layer})
        return self.model_copy(update={"pipelining": changed})


class ChunkMachine(Machine):
    """Machine whose chunks work in parallel, each on its own kind of operation."""

    organisation: Literal["chunks"] = "chunks"
    chunks: Chunks
    buffers: ChunkBuffers
    load_store: None = None
    pipelining: Pipelining = Pipelining(inter_layer=True, intra_layer=True)

    flows: ClassVar[bool] = True


class SingleEngineMachine(Machine):
    """Machine with one reconfigurable engine: one operation at a time; attention × V runs on the multipliers."""

    organisation: Literal["single_engine"] = "single_engine"
    reconfiguration_cycles: Annotated[int, Field(ge=0, le=100000)] = Field(
        0, description="Cycles to reconfigure the engine between two operations."
    )
    buffers: ChunkBuffers
    load_store: None = None
    pipelining: OneAtATime = OneAtATime(inter_layer=False, intra_layer=True)

    @property
    def switch_cycles(self) -> int:
        """Cycles to reconfigure the engine between two operations."""
        return self.reconfiguration_cycles


class LoadStoreMachine(Machine):
    """Machine with load, array, vector and store engines; tensors are in external memory between operations."""

    organisation: Literal["load_store"] = "load_store"
    chunks: Chunks
    load_store: LoadStore
    pipelining: Pipelining = Pipelining(inter_layer=True, intra_layer=True)

    #: The lanes of the vector engine.
    gated: ClassVar[tuple[str, ...]] = ("layernorm", "softmax", "gelu", "elementwise")
    tied: ClassVar[dict[str, str]] = {
        f"chunks.shifter_array.{key}": f"chunks.mac_array.{key}"
        for key in ("lines", "lanes_per_line", "pipeline_depth_cycles")
    }

    @property
    def shifter_lanes(self) -> int:
        """Number of shifters: one per multiplier, or none."""
        return super().shifter_lanes if self.load_store.shifters else 0

    @model_validator(mode="after")
    def _parts_are_tied(self) -> Self:
        array, shifters = self.chunks.mac_array, self.chunks.shifter_array
        for name in ("lines", "lanes_per_line", "pipeline_depth_cycles"):
            if getattr(shifters, name) != getattr(array, name):
                raise ValueError(
                    f"chunks.shifter_array.{name}: shifters stand beside the multipliers of a load-store machine; "
                    f"give {getattr(array, name)}, as in chunks.mac_array"
                )
        for name in ("activation", "accumulator"):
            port = getattr(self.buffers, name).bytes_per_cycle
            if port < array.lines:
                raise ValueError(
                    f"buffers.{name}: {port} bytes per cycle are less than a word of {array.lines} bytes, "
                    "one of every line; give more banks or wider ports"
                )
        return self


KINDS: tuple[type[Machine], ...] = (ChunkMachine, SingleEngineMachine, LoadStoreMachine)
