"""The public program object: save, evaluate, audit, verify, export, simulate and report an integer program."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from p2vit.api.dense import DenseProgram
from p2vit.api.feedback import PythonFeedback
from p2vit.api.html import table
from p2vit.api.photos import data_option, name_of, source_of
from p2vit.api.results import Audit, Cosimulation, Evaluation, Export, Result, Simulation, Verification
from p2vit.api.runnable import Progress, StrPath
from p2vit.data.memory import to_photo_source
from p2vit.data.source import PhotoSource
from p2vit.files import check_output
from p2vit.program.inspect import summarize
from p2vit.workflows.audit import run_audit
from p2vit.workflows.inputs import IN_MEMORY
from p2vit.workflows.module import MEMORY
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import EvaluateOptions, VerifyOptions
from p2vit.workflows.options.export import ExportOptions
from p2vit.workflows.options.hardware import CosimOptions, RtlOptions, SimulateOptions
from p2vit.workflows.program_folder import check_place, write_program


class QuantizedProgram(DenseProgram):
    """A quantized Vision Transformer: an integer program with power-of-two scales.

    `p2vit.quantize` makes one, and `p2vit.load` reads one from a folder. Torch is not needed to run it.

    Methods take photos in any of these forms:

    * the path of a photo or of a folder, or the name of a benchmark ("elpv", "textile", "digits", "noise");
    * a PIL image;
    * a uint8 array [H, W, 3] or [N, H, W, 3], with RGB channels last;
    * a uint8 tensor [3, H, W] or [N, 3, H, W], with RGB channels first;
    * a list of these, or an iterable such as a DataLoader of images or of (image, label).

    Each photo is resized and cropped as :attr:`preprocessing` says. ``prepared=True`` means that arrays and tensors
    already have the model's input size.

    The examples of the methods use this program and this photo.

    Example:
        >>> import numpy, p2vit
        >>> q = p2vit.quantize("digits", "digits", progress=False)
        >>> photo = numpy.zeros((40, 30, 3), numpy.uint8)
        >>> q
        <QuantizedProgram of digits: 8 x 8 pixels, 10 classes, sha256 ...>
    """

    def save(self, folder: StrPath, *, overwrite: bool = False) -> Path:
        """Save the program to a folder, with a model card and the error of each block.

        Args:
            folder: Folder to create.
            overwrite: Replace a program that p2vit wrote there before.

        Returns:
            The folder.

        Raises:
            P2vitError: The folder exists and ``overwrite`` is False, it holds other files, or it cannot be written.

        Example:
            >>> q.save("out/").name
            'out'
        """
        place = Path(folder)
        check_place(place, overwrite)
        write_program(self.program, place, overwrite=overwrite, notes=self._opened.notes)
        self._opened = replace(self._opened, title=str(place))
        return place

    def evaluate(
        self,
        photos: Any,
        labels: Sequence[Any] | StrPath | None = None,
        *,
        prepared: bool = False,
        progress: Progress = None,
        **options: Any,
    ) -> Evaluation:
        """Measure the accuracy of the program and of the float model that it was made from.

        After `p2vit.quantize` the float model is still in memory. Otherwise it is loaded again by its name.

        Args:
            photos: A folder with one subfolder per class, a benchmark's name, or photos with labels, in any form that
                the class lists. A benchmark is measured on its held-out half.
            labels: For photos in memory, one label per photo: the index of an output (from 0) or the name of a class.
                For a folder, the path of a file with its labels.
            prepared: Whether arrays and tensors already have the model's input size and are used unchanged.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: ``limit`` (number of photos), ``batch_size``, ``backend``, ``threads``, ``no_float`` (omit the
                float model), ``model`` (another float model), ``feature`` (cosine similarity and k-NN accuracy),
                ``class_index``, ``strict`` and the other fields of
                `p2vit.workflows.options.evaluate.EvaluateOptions`.

        Returns:
            Accuracies in percent (0 to 100) and SQNR in dB. ``model_dump()`` returns the keys that
            ``p2vit eval --json`` prints.

        Raises:
            DataError: No photo can be read, or one cannot with ``strict=True``, or the labels do not match the photos.
            ModelError: The float model cannot be loaded; ``no_float=True`` omits it.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> found = q.evaluate("digits", limit=50)
            >>> found.images, found.top1 > 80
            (50, True)
        """
        from p2vit.workflows.evaluate import run_eval

        feedback = PythonFeedback(progress)
        chosen = changed(EvaluateOptions, None, options)
        if isinstance(labels, str | os.PathLike):
            chosen, labels = replace(chosen, labels=Path(labels)), None
        data: str | PhotoSource | None = None if labels is not None else name_of(photos)
        if data is None:
            data = to_photo_source(
                photos, self.preprocessing, labels=labels, strict=chosen.strict, prepared=prepared
            )
        source = str(self.program.provenance.get("source", ""))
        note = ""
        if self._float is None and source.startswith(MEMORY) and not (chosen.no_float or chosen.model):
            note = (
                f"the float model was a module in memory ({source.removeprefix(MEMORY)}) and is gone, so there is no "
                "float accuracy, agreement or SQNR; give model= to compare with another float model"
            )
            chosen = replace(chosen, no_float=True)
        found = run_eval(self._opened, data, chosen, out=feedback, reference=self._float)
        if note:
            feedback.warn(note)
            found["notes"] = [note, *found["notes"]]
        feedback.warn_skipped([(entry["file"], entry["reason"]) for entry in found["skipped"]])
        return Evaluation.model_validate(found)

    def audit(self) -> Audit:
        """Prove that the program uses integers only, scales by powers of two only, and never overflows int32.

        The accumulator ranges follow from the actual weights, so they hold for every possible photo.

        Returns:
            The proof: ``passed`` is True if everything holds; ``problems`` lists what does not.

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
        """Run photos on several back-ends and compare every tensor that they expose.

        Args:
            backends: At least two of "native", "torch", "reference", "onnx". Each is compared with the first one.
            photos: Photos in any form that the class lists; "noise" for random pixels.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: ``images`` (number of photos), ``batch`` (photos per batch) and ``threads`` (CPU threads).

        Returns:
            Numbers of tensors and values that were compared and that differ. ``passed`` is True if none differs.

        Raises:
            BackendError: A back-end cannot run on this machine.
            P2vitError: Fewer than two back-ends are given.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> q.verify(["reference", "torch"], "digits", images=2).passed
            True
        """
        from p2vit.workflows.verify import run_verify

        names = backends if isinstance(backends, str) else ",".join(backends)
        chosen = changed(VerifyOptions, None, {"backends": names, **options, **data_option(photos)})
        found = run_verify(
            self._opened, chosen, photos=source_of(photos, self.preprocessing), out=PythonFeedback(progress)
        )
        return Verification.model_validate(found)

    def export(self, file: StrPath, *, format: str, photos: Any = "noise", **options: Any) -> Export:
        """Export the program as ONNX, C, WebAssembly or test vectors, and compare both on photos.

        Args:
            file: The ``.onnx`` file to write; for "c", "web" and "vectors" the folder.
            format: "onnx-integer" (equal to the program), "onnx-qdq" (float operators between QuantizeLinear and
                DequantizeLinear), "c" (C99 without floats), "web" (a page and a package with WebAssembly) or "vectors"
                (every tensor of some photos).
            photos: Photos for the comparison or for the test vectors, in any form that the class lists.
            **options: ``images`` (number of photos), ``overwrite``, and the other fields of
                `p2vit.workflows.options.export.ExportOptions`.

        Returns:
            The files, and ``max_abs_diff``, the largest difference of the logits: in integers for "onnx-integer" and
            "c" and "web", in real units for "onnx-qdq".

        Raises:
            P2vitError: The format is unknown, the file exists, or the format cannot express the program.
            MissingPackageError: The package onnx is not installed.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> q.export("model.onnx", format="onnx-integer").max_abs_diff
            0
        """
        from p2vit.workflows.export import run_export

        chosen = changed(ExportOptions, None, {**options, **data_option(photos)})
        found = run_export(
            self._opened,
            format,
            Path(file),
            chosen,
            photos=source_of(photos, self.preprocessing),
            out=PythonFeedback(False),
        )
        return Export.model_validate(found)

    def simulate(self, hardware: str = "paper", **options: Any) -> Simulation:
        """Model the cycles, energy, area and utilization of the program on an accelerator.

        Args:
            hardware: Name of an accelerator, such as "paper" or "edge", or the path of a YAML file.
            **options: ``changes`` (figures of the accelerator to change, ``["chunks.mac_array.lines=40"]``),
                ``method``, ``report`` (HTML file to write), ``trace`` (Perfetto trace to write), and the other fields
                of `p2vit.workflows.options.hardware.SimulateOptions`.

        Returns:
            The figures, each with its unit in its name, such as ``latency_ms``. Every figure is modelled, not measured.

        Raises:
            AccelError: The accelerator is unknown, or an option does not apply to a program.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> found = q.simulate("paper")
            >>> found.fits, found.latency_ms > 0
            (True, True)
        """
        from p2vit.workflows.simulate import run_simulate

        found = run_simulate(self._opened, hardware, changed(SimulateOptions, None, options))
        return Simulation.model_validate(found)

    def rtl(self, folder: StrPath, photos: Any = "noise", **options: Any) -> Result:
        """Generate the Verilog of an accelerator that runs this program, with a self-checking test bench.

        Args:
            folder: Folder to write.
            photos: Source of the photo for the test vectors, in any form that the class lists. The first one is used.
            **options: ``hardware`` ("rtl", "rtl-wide", "rtl-small"), ``changes`` (sizes to change, ``["lines=32"]``),
                ``overwrite`` and ``dry_run`` (check only; write nothing).

        Returns:
            The keys of ``p2vit rtl --json`` as attributes: ``folder``, ``modules``, ``files``, ``cycles`` (per photo,
            predicted) and others.

        Raises:
            P2vitError: The program does not fit the accelerator, the folder exists, or a tool is missing.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> q.rtl("hardware/", hardware="rtl-small").cycles > 0
            True
        """
        from p2vit.workflows.rtl import run_rtl

        chosen = changed(RtlOptions, None, {**options, **data_option(photos)})
        found = run_rtl(self._opened, Path(folder), chosen, photos=source_of(photos, self.preprocessing))
        return Result.model_validate(found)

    def cosim(self, photos: Any = "noise", *, progress: Progress = None, **options: Any) -> Cosimulation:
        """Simulate the accelerator's RTL on photos and compare every layer with this program.

        Args:
            photos: Photos in any form that the class lists; "noise" for random pixels.
            progress: A function called with (stage, done, total); True for a progress bar, False for none.
            **options: ``hardware``, ``changes``, ``images`` (number of photos), ``latency`` (read latency of the memory
                in cycles), ``stall`` (probability of a stall per cycle, 0 to 0.95), ``seed``, ``quick``, and
                ``predict`` (predict the cycles only; needs no simulator).

        Returns:
            Cycles and differing numbers of each layer. ``passed`` is True if all numbers are equal and, without stalls,
            every store completes in the predicted cycle.

        Raises:
            P2vitError: The program does not fit the accelerator, or a tool is missing.
            OptionError: An option does not exist or has a value that is not allowed.

        Example:
            >>> q.cosim(hardware="rtl-small", predict=True).predicted > 0
            True
        """
        from p2vit.workflows.cosim import run_cosim

        chosen = changed(CosimOptions, None, {**options, **data_option(photos)})
        found = run_cosim(
            self._opened, chosen, photos=source_of(photos, self.preprocessing), out=PythonFeedback(progress)
        )
        return Cosimulation.model_validate(found)

    def report(self, file: StrPath, *, evaluation: Evaluation | None = None, overwrite: bool = False) -> Path:
        """Write a self-contained HTML report about the program, and the same data as JSON beside it.

        Args:
            file: HTML file to write.
            evaluation: The result of :meth:`evaluate`, to include in the report.
            overwrite: Replace existing files.

        Returns:
            The path of the HTML file.

        Raises:
            P2vitError: A file exists and ``overwrite`` is False, or it cannot be written.

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
        """Return a table for notebooks."""
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
