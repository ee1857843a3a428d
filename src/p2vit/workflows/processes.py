"""A workflow that several processes run together. The first one prints, and the failure of one ends all."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager

from p2vit.errors import P2vitError
from p2vit.evaluate.world import World, join_world


@contextmanager
def together() -> Iterator[World]:
    """Join the processes that ``torchrun`` started. Without ``torchrun`` there is only this process.

    If a process fails, the first process prints the error and all exit with status 2. The other processes print nothing
    unless the first one has ended.

    Yields:
        The processes.

    Raises:
        P2vitError: This process or another one failed.
    """
    world = join_world()
    try:
        yield world
    except BaseException as error:
        if world.size == 1:
            raise
        message = str(error) if isinstance(error, P2vitError) else f"{type(error).__name__}: {error}"
        world.fail(message)
        if world.rank == 0:
            atexit.register(world.say_heard)  # after the message was printed
            raise
        if world.was_heard():
            raise SystemExit(2) from None
        raise
    finally:
        if world.size > 1:
            world.close()
