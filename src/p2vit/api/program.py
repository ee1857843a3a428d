"""The integer program as an object: run it on photos, measure it, prove it, write it, put it on an accelerator."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2vit.api.html import table
from p2vit.api.results import (
    Audit,
    Cosimulation,
    DenseOutput,
    Evaluation,
    Export,
    Prediction,
    Result,
    Simulation,
    Verification,
)
from p2vit.api.talk import Talk
from p2vit.data.held import hold, is_single
from p2vit.data.loader import load_batches
from p2vit.data.source import PhotoSource
from p2vit.engine.executor import Executor
from p2vit.engine.registry import open_backend
from p2vit.errors import DataError, ProgramError
from p2vit.files import check_output
from p2vit.models.dense import PATCH_TOKENS
from p2vit.program.exponents import channel_exponents
from p2vit.program.format import program_sha256
from p2vit.program.graph import IntegerProgram
from p2vit.program.inspect import summarize
from p2vit.program.maps import FeatureMap
from p2vit.program.preprocessing import Preprocessing
from p2vit.quant.dense_head import with_dense_head
from p2vit.workflows.audit import run_audit
from p2vit.workflows.class_names import given_names
from p2vit.workflows.feedback import ProgressCallback
from p2vit.workflows.inputs import IN_MEMORY, OpenProgram
from p2vit.workflows.module import MEMORY
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import EvaluateOptions, RunOptions, VerifyOptions
from p2vit.workflows.options.export import ExportOptions
from p2vit.workflows.options.hardware import CosimOptions, RtlOptions, SimulateOptions
from p2vit.workflows.program_folder import check_place, write_program
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel

Progress = ProgressCallback | bool | None
StrPath = str | os.PathLike[str]

BATCH = 8


class QuantizedProgram:
    """A Vision Transformer as an integer program, with power-of-two scales.

    `p2vit.quantize` makes one and `p2vit.load` reads one. It runs without torch.

    Photos are a path, a folder, the name of a benchmark, a PIL image, a uint8 array [H, W, 3] or [N, H, W, 3], a uint8
    tensor [3, H, W] or [N, 3, H, W], a list of these, or an iterable such as a DataLoader. Each is resized and cropped
    as the model's preprocessing says; ``prepared=True`` says that arrays and tensors have the model's size already.

    The examples below use this program and this photo.

    Example:
        >>> import numpy, p2vit
        >>> q = p2vit.quantize("digits", "digits", progress=False)
        >>> photo = numpy.zeros((40, 30, 3), numpy.uint8)
        >>> q
        <QuantizedProgram of digits: 8 x 8 pixels, 10 classes, sha256 ...>
    """

    def __init__(self, opened: OpenProgram, float_model: "FloatModel | None" = None) -> None:
        """Hold a program; `p2vit.quantize` and `p2vit.load` call this.

        Args:
            opened: The program with what is known about it.
            float_model: What it was quantized from, where that is in memory.
        """
        self._opened = opened
        self._float = float_model
        self._executors: dict[tuple[str, int | None], tuple[str, Executor]] = {}
        self._sha256 = ""

    @property
    def program(self) -> IntegerProgram:
        """The graph with its integers, for everything below this interface."""
        return self._opened.program

    @property
    def sha256(self) -> str:
        """Hash of what the program computes, 64 hexadecimal digits."""
        self._sha256 = self._sha256 or program_sha256(self.program)
        return self._sha256

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits; empty where the model names none."""
        return tuple(self.program.classes)

    @property
    def preprocessing(self) -> Preprocessing:
        """What photos go through before the program."""
        return self.program.preprocessing

    @property
    def has_head(self) -> bool:
        """Whether the program has logits, and not features alone."""
        return self.program.output != self.program.feature

    def save(self, folder: StrPath, *, overwrite: bool = False) -> Path:
        """Write the program with its card and its sensitivity.

        Args:
            folder: The program's own.
            overwrite: A program that is there may be replaced.

        Returns:
            The folder.

        Raises:
            P2vitError: the folder exists and may not be replaced, or cannot be written.

        Example:
            >>> q.save("out/").name
            'out'
        """
        place = Path(folder)
        check_place(place, overwrite)
        write_program(self.program, place, overwrite=overwrite, notes=self._opened.notes)
        self._opened = replace(self._opened, title=str(place))
        return place

    def predict(
        self, photos: Any, top: int = 1, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> list[Prediction] | list[list[Prediction]]:
        """The classes of one photo, or of several.

        Args:
            photos: One photo or a collection of them; see the class.
            top: So many classes per photo, the likeliest first.
            prepared: Arrays and tensors have the model's size; they are not resized or cropped.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `RunOptions`: ``backend``, ``threads``, ``class_names``, ``class_index``.

        Returns:
            For one photo its predictions, `Prediction` (label, index, score); for a collection a list of such lists, in
            its order. Of equal logits the first class wins. Scores are the softmax of logits times 2^exponent.

        Raises:
            DataError: a photo cannot be read.
            ProgramError: the program has no head; use :meth:`features`.
            BackendError: the back-end cannot run here.
            OptionError: an unknown option.

        Example:
            >>> [best, second] = q.predict(photo, top=2)
            >>> best.score >= second.score, best.label == q.classes[best.index]
            (True, True)
        """
        if not self.has_head:
            raise ProgramError(
                "this program has no head, so there are no classes to predict; features() gives what it computes"
            )
        if top < 1:
            raise ProgramError(f"top is {top}: at least one class is needed")
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
        return found[0] if is_single(photos) else found

    def logits(
        self, photos: Any, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> NDArray[np.int32]:
        """The program's own integers of photos.

        Args:
            photos: One photo or a collection of them; see the class.
            prepared: Arrays and tensors have the model's size; they are not resized or cropped.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `RunOptions`: ``backend``, ``threads``.

        Returns:
            int32 [N, classes], also for one photo. Times 2^exponent they are the logits, see :meth:`logit_exponents`.

        Raises:
            DataError: a photo cannot be read.
            ProgramError: the program has no head; use :meth:`features`.
            BackendError: the back-end cannot run here.
            OptionError: an unknown option.

        Example:
            >>> q.logits([photo, photo]).shape
            (2, 10)
        """
        if not self.has_head:
            raise ProgramError("this program has no head and so no logits; features() gives what it computes")
        parts = [
            tensors[self.program.output].reshape(count, -1)
            for count, tensors in self._run(photos, prepared, progress, options)
        ]
        return np.concatenate(parts).astype(np.int32, copy=False)

    def logit_exponents(self) -> NDArray[np.int64]:
        """Exponents of the logits, int64 [classes]: the real logits are ``logits * 2.0 ** exponents``.

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
        """The feature before the head, as real numbers.

        Args:
            photos: One photo or a collection of them; see the class.
            prepared: Arrays and tensors have the model's size; they are not resized or cropped.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `RunOptions`: ``backend``, ``threads``.

        Returns:
            float32 [N, channels], also for one photo: the program's integers times powers of two, without rounding.

        Raises:
            DataError: a photo cannot be read.
            BackendError: the back-end cannot run here.
            OptionError: an unknown option.

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

    def feature_maps(
        self, photos: Any, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> dict[str, DenseOutput]:
        """The dense outputs of photos: one vector per patch.

        Args:
            photos: One photo or a collection of them; see the class.
            prepared: Arrays and tensors have the model's size; they are not resized or cropped.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `RunOptions`: ``backend``, ``threads``.

        Returns:
            Name -> map, in the program's order: the integers [N, rows, columns, channels] with their scale exponents,
            also for one photo.

        Raises:
            DataError: a photo cannot be read.
            ProgramError: the program has no feature maps; quantize with ``outputs="tokens"``.
            BackendError: the back-end cannot run here.
            OptionError: an unknown option.

        Example:
            >>> dense = p2vit.quantize("digits", "digits", outputs="layers=0,2", progress=False)
            >>> {name: found.stored.shape for name, found in dense.feature_maps(photo).items()}
            {'layers.0': (1, 4, 4, 64), 'layers.2': (1, 4, 4, 64)}
        """
        if not self.program.maps:
            self.program.feature_map("")  # says what is missing
        parts: dict[str, list[NDArray[Any]]] = {each.name: [] for each in self.program.maps}
        for _, tensors in self._run(photos, prepared, progress, options):
            for each in self.program.maps:
                parts[each.name].append(each.spatial(tensors[each.name]))
        return {each.name: self._dense(each, np.concatenate(parts[each.name])) for each in self.program.maps}

    def tokens(
        self, photos: Any, *, prepared: bool = False, progress: Progress = None, **options: Any
    ) -> DenseOutput:
        """The normalised patch tokens of the last block.

        Args:
            photos: One photo or a collection of them; see the class.
            prepared: Arrays and tensors have the model's size; they are not resized or cropped.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `RunOptions`: ``backend``, ``threads``.

        Returns:
            The integers int8 [N, rows, columns, channels] with their scale exponents, also for one photo.

        Raises:
            DataError: a photo cannot be read.
            ProgramError: the program does not put out patch tokens; quantize with ``outputs="tokens"``.
            BackendError: the back-end cannot run here.
            OptionError: an unknown option.

        Example:
            >>> dense = p2vit.quantize("digits", "digits", outputs="tokens", progress=False)
            >>> found = dense.tokens([photo, photo])
            >>> found.stored.dtype, found.stored.shape, found.exponents.shape
            (dtype('int8'), (2, 4, 4, 64), (64,))
        """
        self.program.feature_map(PATCH_TOKENS)
        return self.feature_maps(photos, prepared=prepared, progress=progress, **options)[PATCH_TOKENS]

    def with_dense_head(
        self,
        weight: Any,
        bias: Any = None,
        *,
        name: str = "dense_head",
        on: str = PATCH_TOKENS,
        classes: Sequence[str] = (),
    ) -> "QuantizedProgram":
        """A program that also runs a linear layer on every patch of a feature map, for segmentation and the like.

        Args:
            weight: Real numbers [K, channels], fitted on :attr:`DenseOutput.real` of this program, or on the float
                model's patch tokens.
            bias: Real numbers [K]; zeros if None.
            name: Name of the new feature map, int32 [rows, columns, K].
            on: Name of the feature map that it reads.
            classes: Label of each of the K outputs.

        Returns:
            A new program; this one stays as it is. Weights are rounded to 8 bits, all outputs have one scale exponent.

        Raises:
            ProgramError: there is no such map, the name is taken, or the numbers do not fit.

        Example:
            >>> dense = p2vit.quantize("digits", "digits", outputs="tokens", progress=False)
            >>> head = dense.with_dense_head(numpy.eye(2, 64), name="mask", classes=["paper", "ink"])
            >>> head.feature_maps(photo)["mask"].stored.shape
            (1, 4, 4, 2)
        """
        made = with_dense_head(self.program, weight, bias, on=on, name=name, classes=classes)
        return QuantizedProgram(OpenProgram(made, notes=self._opened.notes), self._float)

    def evaluate(
        self,
        photos: Any,
        labels: Sequence[Any] | StrPath | None = None,
        *,
        progress: Progress = None,
        **options: Any,
    ) -> Evaluation:
        """Measure the program, beside the float model that it was made from.

        The float model is the one in memory after `p2vit.quantize`; otherwise it is loaded again by its name.

        Args:
            photos: A folder with one subfolder per class, a benchmark, or photos with labels; see the class.
            labels: One per photo of a collection, numbers of outputs or names of classes; or a file with a folder's.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `EvaluateOptions`.

        Returns:
            The figures; their ``model_dump()`` is what ``p2vit eval --json`` prints.

        Raises:
            DataError: a photo cannot be read with ``strict=True``, none can be read, or labels do not fit.
            ModelError: the float model cannot be loaded; ``no_float=True`` leaves it out.
            OptionError: an unknown option.

        Example:
            >>> found = q.evaluate("digits", limit=50)
            >>> found.images, found.top1 > 80
            (50, True)
        """
        from p2vit.workflows.evaluate import run_eval

        talk = Talk(progress)
        chosen = changed(EvaluateOptions, None, options)
        if isinstance(labels, str | os.PathLike):
            chosen, labels = replace(chosen, labels=Path(labels)), None
        data: str | PhotoSource | None = None if labels is not None else _by_name(photos)
        if data is None:
            data = hold(photos, self.preprocessing, labels=labels, strict=chosen.strict)
        source = str(self.program.provenance.get("source", ""))
        note = ""
        if self._float is None and source.startswith(MEMORY) and not (chosen.no_float or chosen.model):
            note = (
                f"the float model was a module in memory ({source.removeprefix(MEMORY)}) and is gone, so there is no "
                "float accuracy, agreement or SQNR; model= names one to compare with"
            )
            chosen = replace(chosen, no_float=True)
        found = run_eval(self._opened, data, chosen, out=talk, reference=self._float)
        if note:
            talk.warn(note)
            found["notes"] = [note, *found["notes"]]
        talk.warn_skipped([(entry["file"], entry["reason"]) for entry in found["skipped"]])
        return Evaluation.model_validate(found)

    def audit(self) -> Audit:
        """Prove that the program computes on integers only, scales by powers of two only, and never leaves int32.

        Returns:
            The proof; ``passed`` says whether everything holds, ``problems`` what does not.

        Example:
            >>> q.audit().passed, q.audit().float_ops
            (True, 0)
        """
        found = run_audit(self._opened)
        found.pop("passed")
        return Audit.model_validate(found)

    def verify(
        self,
        backends: Sequence[str] | str = ("reference", "torch"),
        photos: Any = "noise",
        *,
        progress: Progress = None,
        **options: Any,
    ) -> Verification:
        """Run photos on several back-ends and compare every tensor that they expose, number by number.

        Args:
            backends: At least two of ``native``, ``torch``, ``reference``, ``onnx``; all are compared with the first.
            photos: See the class.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `VerifyOptions`: ``images``, ``batch``, ``threads``.

        Returns:
            What was compared; ``passed`` says whether all numbers are the same.

        Raises:
            BackendError: a back-end cannot run here.
            P2vitError: fewer than two back-ends.
            OptionError: an unknown option.

        Example:
            >>> q.verify(["reference", "torch"], "digits", images=2).passed
            True
        """
        from p2vit.workflows.verify import run_verify

        names = backends if isinstance(backends, str) else ",".join(backends)
        chosen = changed(VerifyOptions, None, {"backends": names, **options, **_data(photos)})
        found = run_verify(self._opened, chosen, photos=self._held(photos), out=Talk(progress))
        return Verification.model_validate(found)

    def export(self, file: StrPath, *, format: str, photos: Any = "noise", **options: Any) -> Export:
        """Write the program as ONNX or as test vectors, then run both on some photos.

        Args:
            file: ``*.onnx``; a folder for ``vectors``.
            format: ``onnx-integer``, ``onnx-qdq`` or ``vectors``.
            photos: To run both sides on, or to write; see the class.
            **options: Fields of `ExportOptions`.

        Returns:
            What was written, and the largest difference of the logits.

        Raises:
            P2vitError: an unknown format, a file that exists, or a program that the format cannot hold.
            MissingPackageError: onnx is not installed.
            OptionError: an unknown option.

        Example:
            >>> q.export("model.onnx", format="onnx-integer").max_abs_diff
            0
        """
        from p2vit.workflows.export import run_export

        chosen = changed(ExportOptions, None, {**options, **_data(photos)})
        found = run_export(
            self._opened, format, Path(file), chosen, photos=self._held(photos), out=Talk(False)
        )
        return Export.model_validate(found)

    def simulate(self, hardware: str = "paper", **options: Any) -> Simulation:
        """Cycles, energy, area and utilisation on an accelerator. Every figure is modelled.

        Args:
            hardware: The name of a machine, or a YAML file.
            **options: Fields of `SimulateOptions`.

        Raises:
            AccelError: an unknown machine, or options that a program does not have.
            OptionError: an unknown option.

        Example:
            >>> found = q.simulate("paper")
            >>> found.fits, found.latency_ms > 0
            (True, True)
        """
        from p2vit.workflows.simulate import run_simulate

        found = run_simulate(self._opened, hardware, changed(SimulateOptions, None, options))
        return Simulation.model_validate(found)

    def rtl(self, folder: StrPath, photos: Any = "noise", **options: Any) -> Result:
        """Generate an accelerator in Verilog with this program to run, and a bench that checks itself.

        Args:
            folder: To write.
            photos: The first one is the test's; see the class.
            **options: Fields of `RtlOptions`: ``hardware``, ``changes``, ``overwrite``, ``dry_run``.

        Returns:
            ``folder``, ``modules``, ``files``, ``cycles`` and the like.

        Raises:
            P2vitError: a program that the machine cannot hold, a folder that exists, or a tool that is missing.
            OptionError: an unknown option.

        Example:
            >>> q.rtl("hardware/", hardware="rtl-small").cycles > 0
            True
        """
        from p2vit.workflows.rtl import run_rtl

        chosen = changed(RtlOptions, None, {**options, **_data(photos)})
        found = run_rtl(self._opened, Path(folder), chosen, photos=self._held(photos))
        return Result.model_validate(found)

    def cosim(self, photos: Any = "noise", *, progress: Progress = None, **options: Any) -> Cosimulation:
        """Run photos through the accelerator's RTL and compare every layer with this program.

        Args:
            photos: See the class.
            progress: Called with (stage, done, total); True for a bar, False for none.
            **options: Fields of `CosimOptions`.

        Returns:
            Cycles and differences per layer; ``passed`` says whether everything is as predicted.

        Raises:
            P2vitError: a program that the machine cannot hold, or a tool that is missing.
            OptionError: an unknown option.

        Example:
            >>> q.cosim(hardware="rtl-small", predict=True).predicted > 0
            True
        """
        from p2vit.workflows.cosim import run_cosim

        chosen = changed(CosimOptions, None, {**options, **_data(photos)})
        found = run_cosim(self._opened, chosen, photos=self._held(photos), out=Talk(progress))
        return Cosimulation.model_validate(found)

    def report(self, file: StrPath, *, evaluation: Evaluation | None = None, overwrite: bool = False) -> Path:
        """Write one offline HTML file about the program, and the same data beside it as JSON.

        Args:
            file: The HTML file.
            evaluation: What :meth:`evaluate` returned, to be shown too.
            overwrite: Files may be replaced.

        Returns:
            The HTML file.

        Raises:
            P2vitError: a file exists and may not be replaced, or cannot be written.

        Example:
            >>> q.report("report.html", evaluation=q.evaluate("digits", limit=20)).name
            'report.html'
        """
        from p2vit.workflows.report import run_report

        check_output(Path(file), overwrite)
        measured = None if evaluation is None else evaluation.model_dump()
        run_report(self._opened, Path(file), measured=measured, overwrite=overwrite)
        return Path(file)

    def __repr__(self) -> str:
        height, width = self.preprocessing.image_size
        what = f"{len(self.classes) or self._outputs} classes" if self.has_head else "features"
        source = self.program.provenance.get("source", "unknown")
        return f"<QuantizedProgram of {source}: {height} x {width} pixels, {what}, sha256 {self.sha256[:12]}>"

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        summary = summarize(self.program)
        height, width = self.preprocessing.image_size
        rows = [
            ("model", str(self.program.provenance.get("source", "unknown"))),
            ("photos", f"{height} x {width}"),
            ("outputs", f"{self._outputs} classes" if self.has_head else "features only"),
            ("weights", f"{summary.weight_bytes / 1e6:.2f} MB"),
            ("work", f"{summary.macs / 1e9:.3f} GMAC per photo"),
            ("sha256", self.sha256),
            ("folder", self._opened.title if self._opened.title != IN_MEMORY else "not saved"),
        ]
        return table("Integer program", ("", ""), rows)

    @property
    def _outputs(self) -> int:
        return int(self.program.tensors[self.program.output].shape[-1])

    def _dense(self, found: FeatureMap, stored: NDArray[Any]) -> DenseOutput:
        """A feature map with its exponents."""
        exponents = channel_exponents(self.program.tensors[found.name]).astype(np.int64)
        return DenseOutput(found.name, stored, exponents, found.classes)

    def _run(
        self, photos: Any, prepared: bool, progress: Progress, options: dict[str, Any]
    ) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Outputs of photos, a batch at a time."""
        chosen = changed(RunOptions, None, {"strict": True, **options})
        key = (chosen.backend, chosen.threads)
        if key not in self._executors:
            self._executors[key] = open_backend(chosen.backend, self.program, chosen.threads, Talk().warn)
        _, executor = self._executors[key]
        source = hold(photos, self.preprocessing, strict=chosen.strict, prepared=prepared)
        order, done = source.order(), 0
        if not len(order):
            raise DataError("there are no photos to run")
        # One batch is read ahead while another one is computed.
        workers = min(thread_count(chosen.threads), -(-len(order) // BATCH) - 1)
        with Talk(progress).progress() as show:
            for batch in load_batches(source, order, BATCH, workers=workers):
                if len(batch.pixels):
                    yield len(batch.pixels), executor.run(batch.pixels)
                done += len(batch.pixels) + len(batch.skipped)
                show("run", done, len(order))

    def _held(self, photos: Any) -> PhotoSource | None:
        """Photos that are not given by name."""
        return None if _by_name(photos) is not None else hold(photos, self.preprocessing)


def _by_name(photos: Any) -> str | None:
    """A folder or benchmark by its name, or None for photos that are held or single files."""
    if isinstance(photos, str | os.PathLike) and not is_single(photos):
        return str(photos)
    return None


def _data(photos: Any) -> dict[str, str]:
    """The option ``data`` of photos that are given by name."""
    name = _by_name(photos)
    return {} if name is None else {"data": name}
