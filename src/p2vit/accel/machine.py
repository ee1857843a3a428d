"""The machine description: chunks, buffers, memory, clock. Units stand in the names.

The PE array is row-stationary. A *line* holds one token's row (or a slice of it) still while weights stream
past all lines at once; its lanes form one dot product of ``lanes_per_line`` terms a cycle. One output column
of as many tokens as there are lines therefore takes ceil(inner / lanes_per_line) cycles.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1, le=65536, strict=True)]
Depth = Annotated[int, Field(ge=1, le=256, strict=True)]
Dsps = Annotated[float, Field(ge=0, le=64, strict=True)]


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MacArray(_Described):
    """Precision-scalable multiply-accumulate array."""

    lines: Count = Field(description="Tokens worked on at once.")
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
    """Shift-and-accumulate array: attention codes that are exponents, times V."""

    lines: Count = Field(description="Rows of attention codes worked on at once.")
    lanes_per_line: Count = Field(
        description="Shifted values of one line per cycle, summed into one accumulator."
    )
    pipeline_depth_cycles: Depth = Field(description="Cycles from operands to accumulator.")


class RowChunk(_Described):
    """A chunk that needs whole rows: LayerNorm or softmax."""

    lanes: Count = Field(description="Elements of one row per cycle.")
    passes: Annotated[int, Field(ge=1, le=8)] = Field(description="Times that each element passes the lanes.")
    pipeline_depth_cycles: Depth = Field(
        description="Cycles from the last element in to the last element out."
    )
    dsps_per_lane: Dsps = Field(0, description="FPGA DSPs of one lane; 0 on an ASIC.")


class StreamChunk(_Described):
    """A chunk that takes elements in any order: GELU table, elementwise."""

    lanes: Count = Field(description="Elements per cycle.")
    pipeline_depth_cycles: Depth = Field(description="Cycles from element in to element out.")
    dsps_per_lane: Dsps = Field(0, description="FPGA DSPs of one lane; 0 on an ASIC.")


RequantMethod = Literal["shift", "multiplier8", "multiplier16", "multiplier32", "float32"]


class Requantization(_Described):
    """int32 accumulators to the next layer's integers."""

    method: RequantMethod = Field(
        description="A shift (power-of-two scales), an integer multiplier, or float32."
    )
    lanes: Count = Field(description="Accumulators taken at once.")
    initiation_interval_cycles: Depth = Field(1, description="Cycles between two accumulators of one lane.")
    pipeline_depth_cycles: Depth = Field(description="Cycles from accumulator in to integer out.")
    dsps_per_lane: Dsps = Field(
        0, description="FPGA DSPs of one lane (the reciprocal of the softmax row); 0 on an ASIC."
    )


class Chunks(_Described):
    """The sub-processors."""

    mac_array: MacArray
    shifter_array: ShifterArray
    layernorm: RowChunk
    softmax: RowChunk
    requantization: Requantization
    gelu: StreamChunk
    elementwise: StreamChunk = Field(description="Residual adds, position constants, moves, pooling, affine.")


class Buffer(_Described):
    """One on-chip buffer."""

    size_bytes: Annotated[int, Field(ge=1024, le=2**30, strict=True)]
    banks: Annotated[int, Field(ge=1, le=1024)]
    ports_per_bank: Annotated[int, Field(ge=1, le=2)] = 1
    bytes_per_port_per_cycle: Annotated[int, Field(ge=1, le=1024)]

    @property
    def bytes_per_cycle(self) -> int:
        """Peak bandwidth, all banks and ports."""
        return self.banks * self.ports_per_bank * self.bytes_per_port_per_cycle


class Buffers(_Described):
    """On-chip memory."""

    activation: Buffer = Field(description="Residual stream, activations, q, k, v.")
    weight: Buffer = Field(
        description="Weight tiles, double-buffered: half is read while the other half is filled."
    )
    accumulator: Buffer = Field(
        description="int32 scores on their way from the MAC array to the softmax chunk."
    )


class Dram(_Described):
    """Off-chip memory."""

    kind: str = Field(description="Key of the technology table's DRAM energies.")
    bandwidth_gbytes_per_s: Annotated[float, Field(gt=0, le=10000, strict=True)] = Field(
        description="Sustained, 10⁹ bytes."
    )
    latency_ns: Annotated[float, Field(ge=0, le=10000, strict=True)] = Field(
        description="First byte after the request."
    )


class LoadStore(_Described):
    """What a load–store machine has besides its chunks.

    Four engines take their work in order: load, array (MACs and shifters), vector (LayerNorm, softmax, GELU,
    elementwise) and store. Tensors pass through the external memory between operations, a word of ``lines``
    bytes per cycle and direction. A slot of the weight buffer is its size over ``slots``.
    """

    slots: Annotated[int, Field(ge=2, le=8)] = Field(
        2, description="Slots of every buffer: one is worked on while others are filled or stored."
    )
    row_terms: Count = Field(
        description="Longest row that a line holds: inputs of a linear, keys of attention."
    )
    columns_per_run: Count = Field(
        description="Columns of one run of the array: depth of its output buffer and of its column parameters."
    )
    vector_columns: Count = Field(
        description="Columns of one run of the vector engine: channels of a LayerNorm, keys of a softmax and its "
        "row sum."
    )
    tables: Annotated[int, Field(ge=1, le=256)] = Field(description="GELU tables held at once.")
    table_columns: Count = Field(
        64, description="Columns that end a tile of a linear, so that tables can follow tile by tile."
    )
    shifters: bool = Field(
        True, description="Whether a lane of the array has a shifter beside its multiplier, for log2 codes."
    )
    run_cycles: Annotated[int, Field(ge=0, le=256)] = Field(
        1, description="Cycles of an engine between two runs, besides fill and drain."
    )
    reciprocal_cycles: Annotated[int, Field(ge=0, le=256)] = Field(
        description="Cycles before the columns of an attention × V run: the reciprocal of every row sum."
    )
    norm_table_words: Annotated[int, Field(ge=0, le=65536)] = Field(
        0, description="Words of the table of reciprocal roots, loaded once."
    )
    queue_depth: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="Actions that wait in front of each engine."
    )
    loads_in_flight: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="Loads whose answers may be outstanding."
    )


class Pipelining(_Described):
    """What overlaps."""

    inter_layer: bool = Field(
        True,
        description="Row groups flow from chunk to chunk: LayerNorm into projections, scores into softmax "
        "into attention × V, FC1 into GELU. Off: one operation at a time.",
    )
    intra_layer: bool = Field(
        True,
        description="Re-quantize a column behind the MACs of the next. Off: the line waits.",
    )


class Machine(_Described):
    """A whole accelerator."""

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=64)]
    summary: str
    known: tuple[str, ...] = Field((), description="Published facts that the description keeps to.")
    assumed: tuple[str, ...] = Field(
        (), description="What nobody published and this description chose, with the reason."
    )
    organisation: Literal["chunks", "single_engine", "load_store"] = Field(
        "chunks",
        description="Own chunks side by side; or one reconfigurable engine: one thing at a time; or load, array, "
        "vector and store engines with tensors in external memory between operations.",
    )
    reconfiguration_cycles: Annotated[int, Field(ge=0, le=100000)] = Field(
        0, description="Cycles that a single engine takes to turn from one operation to the next."
    )
    clock_mhz: Annotated[float, Field(gt=0, le=5000, strict=True)]
    technology: str = Field(description="Name of a shipped table or path of a YAML file.")
    chunks: Chunks
    buffers: Buffers
    dram: Dram
    load_store: LoadStore | None = Field(None, description="Of a load_store organisation, and of no other.")
    pipelining: Pipelining = Pipelining(inter_layer=True, intra_layer=True)

    @model_validator(mode="after")
    def _engines_are_described(self) -> "Machine":
        if (self.organisation == "load_store") != (self.load_store is not None):
            raise ValueError(
                "the key load_store describes the engines of organisation load_store: give both or neither"
            )
        return self

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Sustained DRAM bytes in one clock cycle."""
        return self.dram.bandwidth_gbytes_per_s * 1e3 / self.clock_mhz

    @property
    def dram_latency_cycles(self) -> int:
        """Cycles until the first byte."""
        return round(self.dram.latency_ns * self.clock_mhz / 1e3)

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
        """The same machine with other things overlapping."""
        return self.model_copy(
            update={"pipelining": Pipelining(inter_layer=inter_layer, intra_layer=intra_layer)}
        )
