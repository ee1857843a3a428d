"""The executor to take where only the integers matter."""

from p2vit.engine.executor import Executor, RefusedProgramError
from p2vit.engine.native import NativeExecutor, NativeUnavailableError
from p2vit.program.graph import IntegerProgram


def fastest(program: IntegerProgram, threads: int | None = None) -> Executor:
    """The native engine where it runs the program, torch elsewhere: both return the same integers.

    Args:
        program: What to run.
        threads: Bound of the native engine.
    """
    try:
        return NativeExecutor(program, threads)
    except (NativeUnavailableError, RefusedProgramError):
        # Imported only where it is needed: running a program takes no torch.
        from p2vit.engine.torch.executor import TorchExecutor

        return TorchExecutor(program)
