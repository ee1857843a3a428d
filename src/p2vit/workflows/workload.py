"""What an accelerator is to run: an architecture by name, or a program."""

from p2vit.accel.problems import AccelError
from p2vit.accel.resolve import OWN_BITS_ONLY, workload_of
from p2vit.accel.workload import Workload
from p2vit.accel.workload_program import program_workload
from p2vit.accel.workload_vit import Precision
from p2vit.workflows.inputs import OpenProgram


def open_workload(model: str | OpenProgram, precision: Precision) -> Workload:
    """The workload of a model.

    Args:
        model: An architecture's name, a program's folder, or a program that is open.
        precision: Bits of an architecture; a program has its own.

    Raises:
        AccelError: an unknown name, or bits given for a program.
        ProgramError: the folder does not hold a sound program.
    """
    if isinstance(model, str):
        return workload_of(model, precision)
    if precision != Precision():
        raise AccelError(model.title, [OWN_BITS_ONLY])
    return program_workload(model.title, model.program)
