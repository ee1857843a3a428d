"""Batches of photos for one program: a bounded queue, a deadline, and one thread that runs the program."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from p2vit.data.photo_file import decoded
from p2vit.data.preprocess import to_pixels_of
from p2vit.engine.executor import Executor
from p2vit.errors import DataError
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram
from p2vit.serve.metrics import Metrics

#: Formats that are decoded. Pillow knows more, with decoders that fewer people look at.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


@dataclass(frozen=True)
class Limits:
    """Bounds of the server.

    Attributes:
        batch: Most photos of one run of the program.
        deadline_ms: Longest time that a photo waits for others to fill its batch, milliseconds.
        queue: Most photos that are held at a time: read, decoded, waiting or running. Further ones get 503.
        body: Most bytes of one request.
        photos: Most photos of one request.
        read_seconds: Longest time for a request's bytes to arrive.
        decoders: Threads that decode photos.
    """

    batch: int = 8
    deadline_ms: float = 5.0
    queue: int = 64
    body: int = 16 << 20
    photos: int = 16
    read_seconds: float = 30.0
    decoders: int = 2


class BusyError(Exception):
    """The queue is full, or the server is shutting down."""


class Service:
    """Answers photos with the program's integers.

    Attributes:
        program: The program.
        limits: The bounds.
        metrics: Counters.
    """

    def __init__(self, program: IntegerProgram, executor: Executor, limits: Limits, metrics: Metrics) -> None:
        self.program, self.limits, self.metrics = program, limits, metrics
        self._executor = executor
        self._held = 0
        self._waiting: asyncio.Queue[tuple[IntArray, asyncio.Future[IntArray]]] = asyncio.Queue()
        # The program runs in one thread of its own, because executors are not made for two callers.
        self._runner = ThreadPoolExecutor(1, "p2vit-run")
        self._decoders = ThreadPoolExecutor(limits.decoders, "p2vit-decode")
        self._task: asyncio.Task[None] | None = None
        self.draining = False

    async def start(self) -> None:
        """Begin to run batches."""
        self._task = asyncio.create_task(self._run_batches())

    async def stop(self) -> None:
        """Finish what is held, then end the threads. New photos are refused from the first moment."""
        self.draining = True
        while self._held:
            await asyncio.sleep(0.01)
        if self._task:
            self._task.cancel()
        self._runner.shutdown()
        self._decoders.shutdown()

    @contextmanager
    def hold(self, photos: int = 1) -> Iterator[None]:
        """Take places in the queue for as long as the context is open.

        Raises:
            BusyError: There are not as many.
        """
        if self.draining or self._held + photos > self.limits.queue:
            raise BusyError
        self._held += photos
        self.metrics.held.set(self._held)
        try:
            yield
        finally:
            self._held -= photos
            self.metrics.held.set(self._held)

    async def pixels(self, data: bytes) -> IntArray:
        """Decode a photo in a thread, uint8 [H, W, 3].

        Raises:
            DataError: It cannot be read. The message gives the reason.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._decode, data)

    def _decode(self, data: bytes) -> IntArray:
        if not data:
            raise DataError("empty, 0 bytes")
        with decoded(BytesIO(data), FORMATS) as image:
            return to_pixels_of(image, self.program.preprocessing)

    async def logits(self, pixels: IntArray) -> IntArray:
        """Run the program on one photo together with others that are waiting, int32 [outputs]."""
        answer: asyncio.Future[IntArray] = asyncio.get_running_loop().create_future()
        await self._waiting.put((pixels, answer))
        return await answer

    async def _run_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            pixels = np.stack([photo for photo, _ in batch])
            self.metrics.batch.observe(len(batch))
            try:
                with self.metrics.run_seconds.time():
                    rows = await loop.run_in_executor(self._runner, self._executor.logits, pixels)
            except Exception as error:  # The requests of this batch fail; the server goes on.
                self._settle(batch, lambda answer, _, error=error: answer.set_exception(error))  # type: ignore[misc]
            else:
                self._settle(batch, lambda answer, at, rows=rows: answer.set_result(rows[at]))  # type: ignore[misc]

    @staticmethod
    def _settle(
        batch: list[tuple[IntArray, "asyncio.Future[IntArray]"]],
        settle: "Callable[[asyncio.Future[IntArray], int], None]",
    ) -> None:
        for at, (_, answer) in enumerate(batch):
            if not answer.done():  # Whoever asked may have gone.
                settle(answer, at)

    async def _next_batch(self) -> list[tuple[IntArray, "asyncio.Future[IntArray]"]]:
        """Wait for a photo, then for others until the batch is full or the deadline of the first has come."""
        batch = [await self._waiting.get()]
        loop = asyncio.get_running_loop()
        end = loop.time() + self.limits.deadline_ms / 1000
        while len(batch) < self.limits.batch:
            try:
                batch.append(self._waiting.get_nowait())
                continue
            except asyncio.QueueEmpty:
                pass
            # Nobody else is on the way: waiting would only delay this batch.
            if len(batch) >= self._held or (left := end - loop.time()) <= 0:
                break
            try:
                batch.append(await asyncio.wait_for(self._waiting.get(), left))
            except TimeoutError:
                break
        return batch
