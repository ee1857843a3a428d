"""Results of `simulate`: validated, and every figure has its unit in its name."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Layer(_Result):
    """Figures of one operation."""

    name: str
    kind: str
    part: str
    block: int
    chunk: str = Field(description="Chunk that runs the operation.")
    macs: int = Field(description="Multiply- or shift-accumulates.")
    cycles: float = Field(
        description="Cycles of the run attributed to the operation; the layers add up to the run."
    )
    busy_cycles: float = Field(
        description="Cycles that its chunk works on it; they may overlap with other layers' cycles."
    )
    requant_cycles: float
    lines: int = Field(description="Lines of the MAC array that a row group uses.")
    weight_tiles: int = Field(
        description="Number of tiles in which the weights pass through the weight buffer."
    )
    limited_by: str = Field(
        description="Resource that takes longest, and the buffer that limits the lines, if one does."
    )
    utilization: float = Field(
        description="Share of the chunk's lanes that did useful work while the chunk was busy."
    )
    dram_bytes: float
    activation_buffer_bytes: float
    weight_buffer_bytes: float
    accumulator_buffer_bytes: float
    energy_pj: float
    macs_per_dram_byte: float | None = Field(
        description="Operational intensity; null without MACs or DRAM traffic."
    )


class ChunkUse(_Result):
    """Use of one chunk, port or memory over the whole run."""

    name: str
    busy_cycles: float
    utilization: Annotated[float, Field(ge=0, le=1.0000001)] = Field(
        description="Busy cycles divided by all cycles."
    )
    stalls: dict[str, float] = Field(description="Stalled cycles by reason.")


class Infeasible(_Result):
    """Reason why the model cannot run on the machine, and changes that would make it fit."""

    statement: str
    operation: str
    demand: float
    bound: float
    gap: float
    unit: str
    levers: tuple[str, ...]


class Simulation(_Result):
    """Figures of one model on one machine. Every figure is modelled."""

    model: str
    hardware: str
    technology: str = Field(description="Name of the energy and area table.")
    modelled: Literal[True] = True
    method: Literal["closed_form", "events", "descriptors"]
    batch: int = Field(
        description="Images of the run. Cycles, latency, MACs, energy and DRAM bytes are those of all of them."
    )
    fits: bool
    infeasible: tuple[Infeasible, ...]
    clock_mhz: float
    active_lines: int | None = Field(
        description="Largest number of lines of the MAC array that an operation uses; each layer gives its own."
    )
    macs: int
    cycles: int | None
    latency_ms: float | None
    images_per_s: float | None
    gops: float | None = Field(
        description="2 × MACs of the model per second, with attention × V, on whichever array it runs."
    )
    peak_gops: float = Field(
        description="2 × products per second of all lanes of the MAC array (with these weights) and the shifter array."
    )
    dsps: float | None = Field(description="FPGA DSPs of all chunks; null on an ASIC.")
    macs_per_dsp: float | None
    gops_per_dsp: float | None
    utilization: float | None = Field(
        description="Useful MACs of the MAC array divided by its peak over all cycles; 4-bit MACs count half."
    )
    asic_only: bool = Field(
        description="Whether energy, power and area are those of an ASIC, although the machine is an FPGA."
    )
    energy_mj: float | None
    energy_breakdown_mj: dict[str, float]
    power_mw: float | None
    area_mm2: float
    area_breakdown_mm2: dict[str, float]
    dram_bytes: float
    chunks: tuple[ChunkUse, ...]
    layers: tuple[Layer, ...]
