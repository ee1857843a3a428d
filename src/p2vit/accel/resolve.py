"""From what people type to a workload."""

from pathlib import Path

from p2vit.accel.problems import AccelError, did_you_mean
from p2vit.accel.workload import Workload
from p2vit.accel.workload_program import program_workload
from p2vit.accel.workload_swin import SwinConfig, swin_workload
from p2vit.accel.workload_vit import Precision, vit_workload
from p2vit.models.architectures import ARCHITECTURES
from p2vit.program.format import load

# Liu et al., ICCV 2021, table 7.
SWINS = {
    config.name: config
    for config in (
        SwinConfig("swin_tiny_patch4_window7_224", 96, (2, 2, 6, 2), (3, 6, 12, 24)),
        SwinConfig("swin_small_patch4_window7_224", 96, (2, 2, 18, 2), (3, 6, 12, 24)),
        SwinConfig("swin_base_patch4_window7_224", 128, (2, 2, 18, 2), (4, 8, 16, 32)),
    )
}


def known_models() -> list[str]:
    """Names that `workload_of` takes; a folder that holds an integer program is taken too."""
    return sorted([*ARCHITECTURES, *SWINS])


def workload_of(model: str, precision: Precision | None = None) -> Workload:
    """The workload of an architecture name (no weights are needed) or of a saved integer program.

    Args:
        model: A timm name, ``random:NAME`` (weights do not matter here), or a program's folder.
        precision: Bits of an architecture; default 8-bit weights and log2 attention. A program has its own.

    Returns:
        Every operation on one image.

    Raises:
        AccelError: if the name is unknown; the nearest known one is suggested. Bits given for a program.
        ProgramError: if the folder does not hold a sound program.
    """
    if Path(model).is_dir():
        if precision and precision != Precision():
            raise AccelError(model, ["a program has its own bits; quantize again for others"])
        return program_workload(Path(model).name, load(model))
    name = model.removeprefix("random:").split(".")[0]
    if name in ARCHITECTURES:
        return vit_workload(ARCHITECTURES[name].config, precision)
    if name in SWINS:
        return swin_workload(SWINS[name], precision)
    raise AccelError("model", [f"unknown architecture {model!r}; {did_you_mean(name, known_models())}"])
