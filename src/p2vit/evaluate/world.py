"""The processes of one evaluation, on one machine or several, as started by ``torchrun``."""

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

#: Environment variables that torchrun sets for every process.
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: How long a process that is done waits for the slowest one. A process that has ended is noticed at once.
PATIENCE = timedelta(days=2)
POLL_SECONDS = 0.05
#: How long a failed process waits until the first process has printed the error, in seconds.
HEARD_SECONDS = 60.0
#: How long the first process then waits for the others to end, in seconds.
LEAVE_SECONDS = 5.0


class OtherProcessError(P2vitError):
    """Another process of this run failed. The message is the one that it reported."""


class World:
    """The processes of a run. This class is a run of one process.

    Attributes:
        rank: Index of this process, from 0. Only process 0 prints.
        size: Number of processes.
        local_size: Number of processes on this machine.
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
        """Return the values of all processes, ordered by rank. Every process must call this.

        Raises:
            OtherProcessError: Another process failed.
        """
        return [value]

    def say_heard(self) -> None:
        """Tell the other processes that the first process has printed the error."""

    def was_heard(self) -> bool:
        """Wait until the first process has printed the error; return False if it does not."""
        return False

    def close(self) -> None:
        """Leave the run."""


class TorchWorld(World):
    """Processes that communicate with the gloo back-end of torch.distributed.

    Failures are reported in torch's key-value store, which always answers. A process notices a failure before its next
    batch, and no process waits in a collective operation for a process that has failed.
    """

    def __init__(self) -> None:
        """Connect to the other processes.

        Raises:
            P2vitError: The other processes cannot be reached, or the environment variables are wrong.
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
        # The process that hosts the store may have ended. Then no process is left to be told.
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
        """Tell the others that the error was printed, and wait for them, because this process may host the store."""
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
            pass  # the first process has ended, and with it the store
        return False

    def close(self) -> None:
        """Leave the run."""
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
        if self._torch.is_initialized():
            self._torch.destroy_process_group()

    def _meet(self) -> None:
        """Wait until every process has reached this point, or one has failed."""
        self._meetings += 1
        key = f"p2vit/meeting/{self._meetings}"
        here = self.store.add(key, 1)
        while here < self.size:
            self.check()
            time.sleep(POLL_SECONDS)
            here = self.store.add(key, 0)
        self.check()

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM, which the launcher sends if another process has ended."""
        raise OtherProcessError(
            f"{self.name}: stopped by its launcher, most likely because another process of the run has ended"
        )


def join_world() -> World:
    """Return the processes that torchrun started, or a run of this process only.

    Raises:
        P2vitError: The processes cannot connect.
    """
    if all(os.environ.get(name) for name in VARIABLES) and os.environ["WORLD_SIZE"] != "1":
        return TorchWorld()
    return World()
