"""The comparisons of the P²-ViT paper, repeated on modelled machines, with the paper's figures beside them.

The paper does not give the array size, the clock, the node or the model of every row. The notes of each table name
what is missing; nothing is filled in.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from p2vit.accel.machine.description import Machine
from p2vit.accel.published import AUTHORS, load_published
from p2vit.accel.simulate import Method, simulate
from p2vit.accel.workload.operations import NetworkPart, Workload
from p2vit.accel.workload.resolve import workload_of
from p2vit.accel.yaml_file import read_yaml

DEITS = ("deit_tiny_patch16_224", "deit_small_patch16_224", "deit_base_patch16_224")
# Pipelining ablation: (inter-layer, intra-layer) → normalised latency of attention, MLP and the whole model.
PAPER_ABLATION = {
    (False, False): (1.79, 1.15, 1.57),
    (True, False): (1.45, 1.00, 1.32),
    (False, True): (1.34, 1.15, 1.37),
    (True, True): (1.00, 1.00, 1.00),
}


@dataclass(frozen=True)
class AblationRow:
    """Normalised latency of one setting of the two pipelining switches.

    Attributes:
        model: Name of the architecture.
        inter_layer: Whether operations overlap.
        intra_layer: Whether re-quantization is hidden.
        attention: Latency of attention, divided by its latency with both switches on.
        mlp: Latency of the MLPs, divided by their latency with both switches on.
        overall: Latency of the whole model, divided by its latency with both switches on.
        paper: Attention, MLP and overall figure of the paper.
        deviation: ``overall`` divided by the paper's overall figure, minus 1.
    """

    model: str
    inter_layer: bool
    intra_layer: bool
    attention: float
    mlp: float
    overall: float
    paper: tuple[float, float, float]
    deviation: float


def pipelining_ablation(
    machine: Machine, models: tuple[str, ...] = DEITS, method: Method = "closed_form"
) -> list[AblationRow]:
    """Compute the latency with each kind of pipelining on and off.

    Args:
        machine: Machine that the models run on.
        models: Names of architectures.
        method: Timing model.

    Returns:
        Four rows per model, from no pipelining to both kinds.
    """
    rows = []
    for model in models:
        workload = workload_of(model)
        cycles = {
            setting: _part_cycles(
                workload, machine.with_pipelining(inter_layer=setting[0], intra_layer=setting[1]), method
            )
            for setting in PAPER_ABLATION
        }
        both = cycles[(True, True)]
        for setting, paper in PAPER_ABLATION.items():
            attention, mlp, overall = (now / then for now, then in zip(cycles[setting], both, strict=True))
            rows.append(AblationRow(model, *setting, attention, mlp, overall, paper, overall / paper[2] - 1))
    return rows


def _part_cycles(workload: Workload, machine: Machine, method: Method) -> tuple[float, float, float]:
    """Compute the cycles of attention, of the MLPs and of the whole model."""
    result = simulate(workload, machine, method).result
    if result.cycles is None:
        raise ValueError(f"{workload.name} does not fit {machine.name}: {result.infeasible[0].statement}")

    def part(name: NetworkPart) -> float:
        return sum(layer.cycles for layer in result.layers if layer.part == name)

    return part("attention"), part("mlp"), float(result.cycles)


@dataclass(frozen=True)
class DspRow:
    """GOPS per DSP of one model.

    Attributes:
        model: Architecture.
        gops_per_dsp: Modelled figure; every DSP of every chunk counts.
        clock_mhz: Clock of the description.
        macs_per_dsp: MACs packed into one DSP of the MAC array.
        utilization: Utilization of the MAC array, 0 to 1.
        paper: Figures of the paper for this model.
        clock_to_match_mhz: Clock at which the modelled figure would equal each figure of the paper.
        others: Figures of other accelerators, as the paper reports them.
    """

    model: str
    gops_per_dsp: float
    clock_mhz: float
    macs_per_dsp: float
    utilization: float
    paper: tuple[float, ...]
    clock_to_match_mhz: tuple[float, ...]
    others: dict[str, float]


def gops_per_dsp(
    machine: Machine, models: tuple[str, ...] = DEITS, method: Method = "events"
) -> list[DspRow]:
    """Compute GOPS per DSP, beside the figures of the paper's tables VII and IX.

    Args:
        machine: FPGA description, with ``macs_per_dsp`` above 0.
        models: Names of DeiT architectures.
        method: Timing model.

    Returns:
        One row per model.

    Raises:
        ValueError: The machine is an ASIC: it has no DSPs. Or a model does not fit it.
    """
    if not machine.dsps:
        raise ValueError(
            f"{machine.name} is not counted in DSPs: chunks.mac_array.macs_per_dsp is 0; try 'fpga'"
        )
    published, rows = load_published(), []
    for model in models:
        result = simulate(workload_of(model), machine, method).result
        if result.gops_per_dsp is None or result.utilization is None or result.macs_per_dsp is None:
            raise ValueError(f"{model} does not fit {machine.name}: {result.infeasible[0].statement}")
        figures = published.densities(model)
        paper = tuple(row.value for row in figures if row.system == AUTHORS)
        others = {row.system: row.value for row in figures if row.system != AUTHORS}
        match = tuple(machine.clock_mhz * figure / result.gops_per_dsp for figure in paper)
        rows.append(
            DspRow(
                model, result.gops_per_dsp, machine.clock_mhz, result.macs_per_dsp, result.utilization,
                paper, match, others,
            )
        )  # fmt: skip
    return rows


class GpuModel(BaseModel):
    """Measured throughput and power of one model on the GPU, at one batch size."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    precision: str = Field("", description="What ran; empty if it is the precision of the file.")
    batch: Annotated[int, Field(ge=1)]
    images_per_s: Annotated[float, Field(gt=0)]
    power_w: Annotated[float, Field(gt=0)] = Field(
        description="Board power while running, as the driver reports it."
    )


class GpuFile(BaseModel):
    """Measured throughput and power of a GPU, written by the measuring script."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Annotated[int, Field(ge=1, le=1)] = 1
    name: str
    precision: str = Field(description="What ran, e.g. float16 or int8.")
    software: str = Field(description="Framework and version.")
    measured_with: str = Field(description="Command that made the file.")
    models: dict[str, tuple[GpuModel, ...]] = Field(
        description="One measurement of each model, or a list of them."
    )

    @field_validator("models", mode="before")
    @classmethod
    def _one_is_a_list(cls, models: Any) -> Any:
        if not isinstance(models, dict):
            return models
        return {name: [each] if isinstance(each, dict) else each for name, each in models.items()}


@dataclass(frozen=True)
class GpuRow:
    """Comparison of a modelled accelerator with a measured GPU.

    Attributes:
        model: Name of the architecture.
        precision: What ran on the GPU.
        batch: Batch size on the GPU; the accelerator takes one image at a time.
        gpu_images_per_s: Measured throughput of the GPU.
        gpu_mj_per_image: Measured power divided by measured throughput.
        speedup: Modelled images/s divided by the GPU's images/s.
        energy_saving: Energy of the GPU divided by the modelled energy, per image.
    """

    model: str
    precision: str
    batch: int
    gpu_images_per_s: float
    gpu_mj_per_image: float
    speedup: float
    energy_saving: float


def against_gpu(machine: Machine, gpu_file: Path) -> tuple[GpuFile, list[GpuRow]]:
    """Compare the modelled speed and energy with those of a GPU.

    Args:
        machine: Machine that is modelled.
        gpu_file: YAML file with the measured figures.

    Returns:
        Contents of the file, and one row for each measurement of a model that fits the machine.

    Raises:
        AccelError: The file is not valid, or it names an unknown model.
    """
    gpu = read_yaml(gpu_file, GpuFile)
    rows = []
    for model, measurements in gpu.models.items():
        result = simulate(workload_of(model), machine).result
        if result.images_per_s is None or result.energy_mj is None:
            continue
        for measured in measurements:
            energy = measured.power_w / measured.images_per_s * 1e3
            speedup = result.images_per_s / measured.images_per_s
            saving = energy / result.energy_mj
            what = measured.precision or gpu.precision
            rows.append(GpuRow(model, what, measured.batch, measured.images_per_s, energy, speedup, saving))
    return gpu, rows
