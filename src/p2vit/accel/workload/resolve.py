"""Turns a model name or a program folder, as users type it, into a workload."""

from pathlib import Path

from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.operations import Workload
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.program import program_workload
from p2vit.models.architectures import ARCHITECTURES
from p2vit.program.format import load

#: Error text if the user asks for weight widths and the model is a program.
OWN_BITS_ONLY = (
    "a program has its own bits, which cannot be changed here; leave the options for bits and attention out, or "
    "quantize again with other --bits"
)


def known_models() -> list[str]:
    """Return the architecture names that `workload_of` accepts, besides folders of integer programs."""
    return sorted(ARCHITECTURES)


def workload_of(model: str, precision: Precision | None = None) -> Workload:
    """Make the workload of an architecture (weights are not needed) or of a saved integer program.

    Args:
        model: timm name, ``random:NAME`` (the weights do not matter here), or folder of a program.
        precision: Weight widths and softmax form of an architecture; None means 8-bit weights and log2 attention. A
            program has its own.

    Returns:
        Every operation on one image.

    Raises:
        AccelError: The name is unknown (the nearest known name is suggested), or widths were given for a program.
        ProgramError: The folder does not hold a valid program.
    """
    if Path(model).is_dir():
        if precision and precision != Precision():
            raise AccelError(model, [OWN_BITS_ONLY])
        return program_workload(Path(model).name, load(model))
    name = model.removeprefix("random:").split(".")[0]
    if name in ARCHITECTURES:
        return workload_of_config(ARCHITECTURES[name].config, precision)
    raise AccelError("model", [f"unknown architecture {model!r}; {suggestion(name, known_models())}"])
