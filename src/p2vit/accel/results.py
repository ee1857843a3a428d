"""What `simulate` gives back: checked, self-describing, every figure with its unit in its name."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Layer(_Result):
    """One operation."""

    name: str
    kind: str
    part: str
    block: int
    chunk: str = Field(description="Where it runs.")
    macs: int = Field(description="Multiply- or shift-accumulates.")
    cycles: float = Field(description="Cycles of the run attributed to it; all layers together make the run.")
    busy_cycles: float = Field(
        description="Cycles its chunk works on it; may lie behind other layers' cycles."
    )
    requant_cycles: float
    lines: int = Field(description="Lines of the MAC array that its row groups have.")
    weight_tiles: int = Field(description="Tiles that its weights pass the weight buffer in.")
    limited_by: str = Field(
        description="What it takes longest on; and the buffer that allows no more lines, where one does."
    )
    utilization: float = Field(
        description="Lanes that did useful work over lanes of its chunk, while it was busy."
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
    """One chunk, port or memory over the whole run."""

    name: str
    busy_cycles: float
    utilization: Annotated[float, Field(ge=0, le=1.0000001)] = Field(
        description="Busy cycles over all cycles."
    )
    stalls: dict[str, float] = Field(description="Cycles it stood still, by reason.")


class Infeasible(_Result):
    """Why the model cannot run on the machine, and what would make it fit."""

    statement: str
    operation: str
    demand: float
    bound: float
    gap: float
    unit: str
    levers: tuple[str, ...]


class Simulation(_Result):
    """One model on one machine. Every figure is modelled."""

    model: str
    hardware: str
    technology: str = Field(description="Table that energy and area come from.")
    modelled: Literal[True] = True
    method: Literal["closed_form", "events", "descriptors"]
    fits: bool
    infeasible: tuple[Infeasible, ...]
    clock_mhz: float
    active_lines: int | None = Field(
        description="Most lines of the MAC array that an operation uses; every layer says its own."
    )
    macs: int
    cycles: int | None
    latency_ms: float | None
    images_per_s: float | None
    gops: float | None = Field(
        description="2 × MACs of the model per second; attention × V counts, wherever it runs."
    )
    peak_gops: float = Field(
        description="2 × what all lanes of the MAC array (with these weights) and of the shifter array do per second."
    )
    dsps: float | None = Field(description="FPGA DSPs of all chunks; null on an ASIC.")
    macs_per_dsp: float | None
    gops_per_dsp: float | None
    utilization: float | None = Field(
        description="Useful MACs of the MAC array over its peak, all cycles; 4-bit MACs count half."
    )
    asic_only: bool = Field(
        description="Energy, power and area are those of an ASIC with these chunks, and say nothing about the FPGA."
    )
    energy_mj: float | None
    energy_breakdown_mj: dict[str, float]
    power_mw: float | None
    area_mm2: float
    area_breakdown_mm2: dict[str, float]
    dram_bytes: float
    chunks: tuple[ChunkUse, ...]
    layers: tuple[Layer, ...]
