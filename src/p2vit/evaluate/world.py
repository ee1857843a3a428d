"""One evaluation by several processes, on one machine or many, as torch's own ``torchrun`` starts them."""

import contextlib
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from types import FrameType
from typing import Any

from p2vit.errors import MissingPackageError, P2vitError, first_line

#: What torchrun gives every process.
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: A process that is done waits so long for the slowest; one that is gone is noticed at once.
PATIENCE = timedelta(days=2)
POLL_SECONDS = 0.05
#: So long a failed process waits until the first one has said what failed.
HEARD_SECONDS = 60.0
#: So long the first process then waits for the others to leave.
LEAVE_SECONDS = 5.0


class OtherProcessError(P2vitError):
    """Another process of this run has failed; the message is its own."""


class World:
    """The processes of a run; by itself, a run of one.

    Attributes:
        rank: This process, from 0; only 0 prints.
        size: How many there are.
        local_size: How many are on this machine.
    """

    rank = 0
    size = 1
    local_size = 1

    def fail(self, message: str) -> None:
        """Tell the others that this process has failed; only the first failure counts."""

    def check(self) -> None:
        """Look for failures.

        Raises:
            OtherProcessError: another process has failed.
        """

    def __init__(self) -> None:
        self._done: dict[str, int] = {}

    def advance(self, stage: str, photos: int) -> int:
        """Count photos that are done in a stage; returns how many all processes have done."""
        self._done[stage] = self._done.get(stage, 0) + photos
        return self._done[stage]

    def gather(self, value: Any) -> list[Any]:
        """Values of all processes by rank, in every process.

        Raises:
            OtherProcessError: another process has failed.
        """
        return [value]

    def say_heard(self) -> None:
        """The first process has said what failed."""

    def was_heard(self) -> bool:
        """Wait until the first process has said what failed; False when it does not."""
        return False

    def close(self) -> None:
        """Leave the run."""


class TorchWorld(World):
    """Processes that talk through torch.distributed's gloo.

    Failures go through torch's key-value store, which answers whatever the others do: a process notices them before
    its next batch, and nobody waits in a collective for one that will not come.
    """

    def __init__(self) -> None:
        """Meet the others.

        Raises:
            P2vitError: they cannot be reached, or the variables make no sense.
            MissingPackageError: torch is not installed.
        """
        super().__init__()
        try:
            from torch import distributed
        except ImportError:
            raise MissingPackageError("torch", "running in several processes", "quant") from None
        self._torch = distributed
        try:
            self.store, self.rank, self.size = next(
                distributed.rendezvous("env://", timeout=timedelta(minutes=10))
            )
            self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            distributed.init_process_group(
                "gloo",
                store=distributed.PrefixStore("p2vit/gloo", self.store),
                rank=self.rank,
                world_size=self.size,
                timeout=PATIENCE,
            )
        except (RuntimeError, ValueError, KeyError) as error:
            given = ", ".join(f"{name}={os.environ.get(name)}" for name in VARIABLES)
            raise P2vitError(
                f"the processes of this run cannot meet ({first_line(error)}); {given}. Start them with torchrun, "
                "e.g. torchrun --nproc-per-node 2 -m p2vit eval OUT --data DIR"
            ) from None
        self.name = f"process {self.rank} of {self.size} ({socket.gethostname()})"
        self._meetings = 0
        self._previous = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._stopped)

    def fail(self, message: str) -> None:
        """Tell the others that this process has failed; only the first failure counts."""
        # Whoever kept the store may have gone: then there is nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self.store.compare_set("p2vit/failed", "", f"{self.name}: {message}")

    def check(self) -> None:
        """Look for failures.

        Raises:
            OtherProcessError: another process has failed, or the first one has gone.
        """
        try:
            if self.store.check(["p2vit/failed"]):
                raise OtherProcessError(self.store.get("p2vit/failed").decode(errors="replace"))
        except RuntimeError as error:
            raise OtherProcessError(
                f"{self.name}: the others cannot be reached: {first_line(error)}"
            ) from None

    def advance(self, stage: str, photos: int) -> int:
        """Count photos that are done in a stage; returns how many all processes have done."""
        return self.store.add(f"p2vit/done/{stage}", photos)

    def gather(self, value: Any) -> list[Any]:
        """Values of all processes by rank, in every process.

        Raises:
            OtherProcessError: another process has failed.
        """
        self._meet()
        values: list[Any] = [None] * self.size
        try:
            self._torch.all_gather_object(values, value)
        except RuntimeError as error:
            raise OtherProcessError(f"{self.name}: another process has gone: {first_line(error)}") from None
        return values

    def say_heard(self) -> None:
        """The first process has said what failed; it waits a moment for the others, since it may keep the store."""
        with contextlib.suppress(RuntimeError):
            self.store.set("p2vit/heard", "1")
            until = time.monotonic() + LEAVE_SECONDS
            while self.store.add("p2vit/left", 0) < self.size - 1 and time.monotonic() < until:
                time.sleep(POLL_SECONDS)

    def was_heard(self) -> bool:
        """Wait until the first process has said what failed; False when it does not."""
        until = time.monotonic() + HEARD_SECONDS
        try:
            while time.monotonic() < until:
                if self.store.check(["p2vit/heard"]):
                    self.store.add("p2vit/left", 1)
                    return True
                time.sleep(POLL_SECONDS)
        except RuntimeError:
            pass  # the first process has gone, and with it the store
        return False

    def close(self) -> None:
        """Leave the run."""
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
        if self._torch.is_initialized():
            self._torch.destroy_process_group()

    def _meet(self) -> None:
        """Wait until every process has come this far, or one has failed."""
        self._meetings += 1
        key = f"p2vit/meeting/{self._meetings}"
        here = self.store.add(key, 1)
        while here < self.size:
            self.check()
            time.sleep(POLL_SECONDS)
            here = self.store.add(key, 0)
        self.check()

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        """The launcher ends this process, because another one has gone."""
        raise OtherProcessError(
            f"{self.name}: stopped by its launcher, most likely because another process of the run has ended"
        )


def join_world() -> World:
    """The processes that were started together, or this one alone.

    Raises:
        P2vitError: they cannot meet.
    """
    if all(os.environ.get(name) for name in VARIABLES) and os.environ["WORLD_SIZE"] != "1":
        return TorchWorld()
    return World()
