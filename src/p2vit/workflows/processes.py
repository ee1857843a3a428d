"""A workflow that several processes run together: one of them speaks, and the failure of one ends all."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager

from p2vit.errors import P2vitError
from p2vit.evaluate.world import World, join_world


@contextmanager
def together() -> Iterator[World]:
    """Join the processes that ``torchrun`` started; without it, a world of one.

    When one of them fails, the first one prints its message and all exit with 2. The others print nothing, unless
    the first one is gone.

    Yields:
        The world.

    Raises:
        P2vitError: whatever a process ran into.
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
