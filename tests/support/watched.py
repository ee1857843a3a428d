"""Cases that may end their process, hang or fill the memory: each is watched from outside."""

import json
import select
import subprocess
import time
from collections.abc import Sequence

#: Seconds that a case may take.
SECONDS = 60


class Watched:
    """One worker process, started again behind the case that it could not survive.

    Args:
        command: Starts a worker when ``--worker FIRST LAST STEP`` is added. It prints a line ``{"begins": seed}``
            before each case and an object after it.
        first: Seed of the first case.
        last: Seed behind the last one.
        step: From one seed to the next.
    """

    def __init__(self, command: list[str], first: int, last: int, step: int) -> None:
        self.command, self.last, self.step = command, last, step
        self.done: list[dict] = []
        self.accidents: list[str] = []
        self.current = first
        self._start(first)

    def _start(self, first: int) -> None:
        command = [*self.command, "--worker", str(first), str(self.last), str(self.step)]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True)
        self.began = time.monotonic()

    def step_on(self) -> bool:
        """Take the next line, or notice that there will be none; False when all cases are done."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], 0.2)[0]:
            if time.monotonic() - self.began > SECONDS:
                self.process.kill()
                self._accident(f"hangs for {SECONDS} s")
            return self.current < self.last
        line = self.process.stdout.readline()
        if line:
            told = json.loads(line)
            self.began = time.monotonic()
            if "begins" in told:
                self.current = told["begins"]
            else:
                self.done.append(told)
            return True
        code = self.process.wait()
        if code == 0:
            return False
        self._accident(f"ends its process with {code}")
        return self.current < self.last

    def _accident(self, what: str) -> None:
        self.process.wait()
        self.accidents.append(f"seed {self.current} {what}")
        self.current += self.step
        if self.current < self.last:
            self._start(self.current)


def run_all(workers: Sequence[Watched]) -> tuple[list[dict], list[str]]:
    """Run until all cases are done.

    Returns:
        What the workers said of each case, and the cases that no worker survived, in words.
    """
    running = list(workers)
    while running:
        running = [worker for worker in running if worker.step_on()]
    return [row for worker in workers for row in worker.done], [
        text for worker in workers for text in worker.accidents
    ]
