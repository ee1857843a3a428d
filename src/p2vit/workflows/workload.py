"""The workload of an accelerator: an architecture by name, or a program."""

from p2vit.accel.problems import AccelError
from p2vit.accel.workload.operations import Workload
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.program import program_workload
from p2vit.accel.workload.resolve import OWN_BITS_ONLY, workload_of
from p2vit.workflows.inputs import OpenProgram


def open_workload(model: str | OpenProgram, precision: Precision) -> Workload:
    """Return the workload of a model.

    Args:
        model: Name of an architecture, a program's folder, or a loaded program.
        precision: Widths for an architecture. A program has its own.

    Raises:
        AccelError: The name is unknown, or widths are given for a program.
        ProgramError: The folder does not hold a valid program.
    """
    if isinstance(model, str):
        return workload_of(model, precision)
    if precision != Precision():
        raise AccelError(model.title, [OWN_BITS_ONLY])
    return program_workload(model.title, model.program)
