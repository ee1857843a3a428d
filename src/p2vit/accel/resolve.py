"""From what people type to a workload."""

from pathlib import Path

from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.workload import Workload
from p2vit.accel.workload_program import program_workload
from p2vit.accel.workload_swin import swin_workload
from p2vit.accel.workload_vit import Precision, vit_workload
from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.config import ModelConfig
from p2vit.models.swin_config import SwinConfig
from p2vit.program.format import load

#: Said where bits are asked for that a program does not have.
OWN_BITS_ONLY = (
    "a program has its own bits, which cannot be changed here; leave the options for bits and attention out, or "
    "quantize again with other --bits"
)


def known_models() -> list[str]:
    """Names that `workload_of` takes; a folder that holds an integer program is taken too."""
    return sorted(ARCHITECTURES)


def workload_of_config(config: ModelConfig, precision: Precision | None = None) -> Workload:
    """The workload of a model's shape.

    Args:
        config: Of a ViT or a Swin.
        precision: Bits; default 8-bit weights and log2 attention.
    """
    if isinstance(config, SwinConfig):
        return swin_workload(config, precision)
    return vit_workload(config, precision)


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
            raise AccelError(model, [OWN_BITS_ONLY])
        return program_workload(Path(model).name, load(model))
    name = model.removeprefix("random:").split(".")[0]
    if name in ARCHITECTURES:
        return workload_of_config(ARCHITECTURES[name].config, precision)
    raise AccelError("model", [f"unknown architecture {model!r}; {suggestion(name, known_models())}"])
