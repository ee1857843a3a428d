"""A program that runs on photos: predictions, logits and features."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2vit.api.feedback import PythonFeedback
from p2vit.api.results import Prediction
from p2vit.data.loader import load_batches
from p2vit.data.memory import is_single_photo, to_photo_source
from p2vit.engine.executor import Executor
from p2vit.engine.registry import open_backend
from p2vit.errors import DataError, ProgramError
from p2vit.program.format import program_sha256
from p2vit.program.graph import IntegerProgram
from p2vit.program.preprocessing import Preprocessing
from p2vit.workflows.class_names import given_names
from p2vit.workflows.feedback import ProgressCallback
from p2vit.workflows.inputs import OpenProgram
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import RunOptions
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel

Progress = ProgressCallback | bool | None
StrPath = str | os.PathLike[str]

#: Photos per batch.
BATCH = 8


class RunnableProgram:
    """An integer program that runs on photos; see `QuantizedProgram`, which adds everything else."""

    def __init__(self, opened: OpenProgram, float_model: "FloatModel | None" = None) -> None:
        """Hold a program. Call `p2vit.quantize` or `p2vit.load` instead.

        Args:
            opened: The program, with its title and the notes of its quantization.
            float_model: The float model that was quantized, if it is in memory.
        """
        self._opened = opened
        self._float = float_model
        self._executors: dict[tuple[str, int | None], tuple[str, Executor]] = {}
        self._sha256 = ""

    @property
    def program(self) -> IntegerProgram:
        """The graph of integer operators, for use with the packages below this interface."""
        return self._opened.program

    @property
    def sha256(self) -> str:
        """SHA-256 of everything that the program computes, 64 hexadecimal digits. Provenance does not count."""
        self._sha256 = self._sha256 or program_sha256(self.program)
        return self._sha256

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits; empty if the model names none."""
        return tuple(self.program.classes)

    @property
    def preprocessing(self) -> Preprocessing:
        """How photos are resized, cropped and normalized for this program."""
        return self.program.preprocessing

    @property
    def has_head(self) -> bool:
        """Whether the program returns logits. Without a head it returns features only."""
        return self.program.output != self.program.feature

    def predict(
        self, photos: Any, top: int = 1, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> list[Prediction] | list[list[Prediction]]:
        """Predict the classes of one photo or of several.

        Args:
            photos: One photo or a collection of photos, in any form that `QuantizedProgram` lists.
            top: Number of classes per photo, the most likely first.
            prepared: Arrays and tensors already have the model's input size, so they are not resized or cropped.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: ``backend`` ("auto", "native", "torch", "reference", "onnx"), ``threads`` (CPU threads),
                ``strict`` (raise an error for a photo that cannot be read; True by default), ``class_names`` and
                ``class_index`` (names to show). They are the fields of `RunOptions`.

        Returns:
            For one photo, a list of ``top`` `Prediction` objects (label, index, score). For a collection, one such list
            per photo, in its order. Scores are softmax probabilities. Of equal logits the first class wins.

        Raises:
            DataError: A photo cannot be read.
            ProgramError: The program has no head (use :meth:`features`), or ``top`` is below 1.
            BackendError: The back-end cannot run on this machine.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> [best, second] = q.predict(photo, top=2)
            >>> best.score >= second.score, best.label == q.classes[best.index]
            (True, True)
        """
        if not self.has_head:
            raise ProgramError(
                "this program has no head, so there are no classes to predict; call features() to get its features"
            )
        if top < 1:
            raise ProgramError(f"top is {top}: it must be at least 1")
        logits = self.logits(photos, prepared=prepared, progress=progress, **options)
        real = self.program.tensors[self.program.output].real(logits.reshape(len(logits), 1, -1))
        real = real.reshape(len(logits), -1).astype(np.float64)
        scores = np.exp(real - real.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        chosen = changed(RunOptions, None, options)
        names = given_names(chosen.class_names, chosen.class_index, self._outputs) or self.classes
        found = []
        for row, values in zip(scores, real, strict=True):
            best = np.argsort(-values, kind="stable")[:top].tolist()
            found.append([Prediction(names[k] if names else str(k), k, float(row[k])) for k in best])
        return found[0] if is_single_photo(photos) else found

    def logits(
        self, photos: Any, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> NDArray[np.int32]:
        """Return the integer logits of photos.

        Args:
            photos: One photo or a collection of photos, in any form that `QuantizedProgram` lists.
            prepared: Arrays and tensors already have the model's input size, so they are not resized or cropped.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: ``backend``, ``threads`` and ``strict``, as for :meth:`predict`.

        Returns:
            int32 [N, classes]; N is 1 for one photo. Every back-end returns the same integers. Multiply them by
            ``2.0 ** q.logit_exponents()`` to get real logits.

        Raises:
            DataError: A photo cannot be read.
            ProgramError: The program has no head; use :meth:`features`.
            BackendError: The back-end cannot run on this machine.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> q.logits([photo, photo]).shape
            (2, 10)
        """
        if not self.has_head:
            raise ProgramError(
                "this program has no head, so it has no logits; call features() to get its features"
            )
        parts = [
            tensors[self.program.output].reshape(count, -1)
            for count, tensors in self._run(photos, prepared, progress, options)
        ]
        return np.concatenate(parts).astype(np.int32, copy=False)

    def logit_exponents(self) -> NDArray[np.int64]:
        """Return the scale exponents of the logits.

        Returns:
            int64 [classes]. The real logits are ``q.logits(photos) * 2.0 ** q.logit_exponents()``.

        Example:
            >>> real = q.logits(photo) * 2.0 ** q.logit_exponents()
            >>> real.shape
            (1, 10)
        """
        spec = self.program.tensors[self.program.output]
        exponents: NDArray[np.int64] = np.broadcast_to(spec.exponent, spec.shape).astype(np.int64)
        row: NDArray[np.int64] = exponents.reshape(-1, spec.shape[-1])[0]
        return row

    def features(
        self, photos: Any, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> NDArray[np.float32]:
        """Return the features of photos: the input of the head, as real numbers.

        Args:
            photos: One photo or a collection of photos, in any form that `QuantizedProgram` lists.
            prepared: Arrays and tensors already have the model's input size, so they are not resized or cropped.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: ``backend``, ``threads`` and ``strict``, as for :meth:`predict`.

        Returns:
            float32 [N, channels]; N is 1 for one photo. Each number is an integer of the program times a power of two,
            represented exactly.

        Raises:
            DataError: A photo cannot be read.
            BackendError: The back-end cannot run on this machine.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> q.features(photo).dtype, q.features(photo).shape
            (dtype('float32'), (1, 64))
        """
        spec = self.program.tensors[self.program.feature]
        parts = [
            spec.real(tensors[self.program.feature]).reshape(count, -1)
            for count, tensors in self._run(photos, prepared, progress, options)
        ]
        return np.concatenate(parts).astype(np.float32, copy=False)

    @property
    def _outputs(self) -> int:
        return int(self.program.tensors[self.program.output].shape[-1])

    def _run(
        self, photos: Any, prepared: bool, progress: Progress, options: dict[str, Any]
    ) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Yield the number of photos and the output tensors of each batch."""
        chosen = changed(RunOptions, None, {"strict": True, **options})
        key = (chosen.backend, chosen.threads)
        if key not in self._executors:
            warn = PythonFeedback().warn
            self._executors[key] = open_backend(chosen.backend, self.program, chosen.threads, warn)
        _, executor = self._executors[key]
        source = to_photo_source(photos, self.preprocessing, strict=chosen.strict, prepared=prepared)
        order, done = source.order(), 0
        if not len(order):
            raise DataError("there are no photos to run; give at least one")
        # One batch is read ahead while another one is computed.
        workers = min(thread_count(chosen.threads), -(-len(order) // BATCH) - 1)
        with PythonFeedback(progress).progress() as show:
            for batch in load_batches(source, order, BATCH, workers=workers):
                if len(batch.pixels):
                    yield len(batch.pixels), executor.run(batch.pixels)
                done += len(batch.pixels) + len(batch.skipped)
                show("run", done, len(order))
