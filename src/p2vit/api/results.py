"""Results of the public functions: frozen objects. ``model_dump()`` returns the keys that ``--json`` prints."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    computed_field,
    model_serializer,
    model_validator,
)

from p2vit.accel.results import Simulation as Simulated
from p2vit.api.html import interval, percent, table
from p2vit.evaluate.accuracy import Accuracy
from p2vit.evaluate.comparison import Comparison
from p2vit.evaluate.features import FeatureAccuracy
from p2vit.program.audit import AuditReport


@dataclass(frozen=True, slots=True)
class Prediction:
    """One predicted class of a photo.

    Attributes:
        label: Name of the class, or its index as text if the program names no classes.
        index: Index of the output, from 0.
        score: Softmax probability, 0 to 1. It is computed in floating point from the integer logits, and orders the
            classes as the logits do.
    """

    label: str
    index: int
    score: float


@dataclass(frozen=True, eq=False)
class DenseOutput:
    """A feature map of several photos.

    Attributes:
        name: Name of the map, e.g. ``patch_tokens``.
        stored: The program's integers, int8 (int32 of a dense head), [N, rows, columns, channels].
        exponents: int64 [channels]: a number of channel c stands for itself times 2^exponents[c].
        classes: Label of each channel; empty if the channels are no classes.
    """

    name: str
    stored: NDArray[np.signedinteger]
    exponents: NDArray[np.int64]
    classes: tuple[str, ...] = ()

    @property
    def real(self) -> NDArray[np.float32]:
        """The real numbers that the integers stand for, float32 [N, rows, columns, channels]; nothing is rounded."""
        return np.ldexp(self.stored.astype(np.float32), self.exponents.astype(np.int32)).astype(np.float32)


class Evaluation(Accuracy):
    """Accuracy of a program on photos. Percentages are 0 to 100, SQNR is in dB; None if it could not be measured.

    Attributes:
        feature: Cosine similarity and k-NN accuracy of the features; None without ``feature=True``.
        data: Name of the photos.
        model: Float model that the program is compared with; None without one.
        float_from_cache: Number of photos whose float outputs were computed by an earlier run.
        backend: Back-end that ran the program.
        device: Device of the torch back-end.
        threads: Number of CPU threads.
        processes: Number of processes that shared the photos.
        program: Folder of the program, or ``in memory``.
        program_sha256: Hash of the program.
        evaluation_seconds: Wall-clock seconds.
        skipped: ``file`` and ``reason`` of each photo that could not be read.
    """

    feature: FeatureAccuracy | None
    data: str
    model: str | None
    float_from_cache: int
    backend: str
    device: str
    threads: int
    processes: int
    program: str
    program_sha256: str
    evaluation_seconds: float
    skipped: list[dict[str, str]]

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        rows = [
            ("top-1", percent(self.top1), percent(self.top1_float)),
            ("top-5", percent(self.top5), percent(self.top5_float)),
            ("agreement with float", percent(self.agreement), ""),
            ("SQNR of the feature", "-" if self.sqnr_db is None else f"{self.sqnr_db:.2f} dB", ""),
            ("95 % interval of top-1", interval(self.top1_interval), interval(self.top1_float_interval)),
            ("95 % interval of agreement", interval(self.agreement_interval), ""),
        ]
        return table(
            f"{self.images} photos of {self.data}", ("", "integers", "float"), rows, notes=self.notes
        )


class Audit(AuditReport):
    """The proof that a program uses integers and power-of-two scales only; ``problems`` lists what does not hold."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the proof holds."""
        return not self.problems

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        rows = [
            ("float operations", str(self.float_ops)),
            ("scales that are not powers of two", str(self.non_pot_scales)),
            ("widest accumulator", f"{self.max_accumulator_bits} bits of 32"),
            ("widest register", f"{self.max_register_bits} bits of 32"),
        ]
        return table("passed" if self.passed else "FAILED", ("", ""), rows, notes=self.problems)


class Verification(Comparison):
    """Comparison of back-ends on the same photos, number by number.

    Attributes:
        data: Name of the photos.
        program: Folder of the program, or ``in memory``.
        program_sha256: Hash of the program.
    """

    data: str
    program: str
    program_sha256: str

    @property
    def passed(self) -> bool:
        """Whether all numbers of all tensors are equal."""
        return self.mismatches == 0

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        rows = [
            ("back-ends", ", ".join(self.backends)),
            ("photos", str(self.images)),
            ("tensors", str(self.tensors_compared)),
            ("numbers", f"{self.values_compared:,}"),
            ("tensors that differ", str(self.mismatches)),
        ]
        return table("identical" if self.passed else "DIFFERENT", ("", ""), rows)


class Simulation(Simulated):
    """Cycles, energy and area of a model on an accelerator. Every figure is modelled; its unit is in its name.

    Attributes:
        limiting: ``resource`` that limits the speed, and the fraction of time that it is ``busy`` (0 to 1); None if the
            model does not fit.
        levers: Speed-up from doubling each resource; None if the model does not fit.
    """

    limiting: dict[str, Any] | None = None
    levers: list[dict[str, Any]] | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_known(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in plain.items()
            if name not in ("limiting", "levers") or value is not None
        }

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        title = f"{self.model} on {self.hardware} (modelled)"
        if not self.fits:
            return table(title, ("does not fit", "needs", "has"), [
                (item.statement, f"{item.demand:,.0f} {item.unit}", f"{item.bound:,.0f}")
                for item in self.infeasible
            ])  # fmt: skip
        rows = [
            ("latency", f"{self.latency_ms:.3f} ms"),
            ("cycles", f"{self.cycles:,} at {self.clock_mhz:g} MHz"),
            ("energy", f"{self.energy_mj:.3f} mJ"),
            ("power", f"{self.power_mw:.0f} mW"),
            ("area", f"{self.area_mm2:.2f} mm²"),
            ("MAC array utilization", percent(100 * (self.utilization or 0))),
        ]
        return table(title, ("", ""), rows)


class Result(BaseModel):
    """A frozen object whose attributes are the JSON keys of a verb; docs/reference/cli.md lists them."""

    model_config = ConfigDict(frozen=True, extra="allow")
    _keys: tuple[str, ...] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _remember_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(data)
        made._keys = tuple(data)
        return made

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        return {name: plain[name] for name in self._keys}


class Exploration(Result):
    """Accelerator designs that a search found for a model. Every figure is modelled.

    Attributes:
        model: Name of the model.
        hardware: Accelerator that the search started from.
        objectives: Figures that were minimized.
        points: Number of designs that were tried.
        feasible: Number of designs that the model fits and that keep the budgets.
        pareto: ``parameters`` and ``figures`` of each design on the Pareto front.
    """

    model: str
    hardware: str
    technology: str
    modelled: Literal[True]
    objectives: list[str]
    budget: dict[str, float]
    seed: int
    points_per_minute: float
    points: int
    feasible: int
    pareto: list[dict[str, Any]]

    def _repr_html_(self) -> str:
        """Return a table of the Pareto front's objectives for notebooks."""
        rows = [
            tuple(f"{point['figures'][name]:.4g}" for name in self.objectives) for point in self.pareto[:20]
        ]
        return table(
            f"{self.model}: {len(self.pareto)} designs on the Pareto front", tuple(self.objectives), rows
        )


class SystemComparison(Result):
    """Comparison of modelled accelerators with published and measured systems.

    Attributes:
        rows: One system and model each: figures, ``kind`` (published, modelled or measured), ``source`` and ``ratio``.
        peers: Organisations of published accelerators at equal size, modelled, with what is known and what is assumed.
        gpu_claims: What the paper's speed and energy saving over a GPU would need, and what modelled machines give.
        utilization_claims: GOPS per DSP of the paper over those of others, published and modelled.
        ablation: The paper's pipelining ablation on the accelerator ``ablation_on``; empty if none supports it.
        ablation_on: Name of that accelerator, or None.
        gops_per_dsp: GOPS per DSP of the paper's models, with published values; empty without an accelerator with DSPs.
        notes: Limits of the figures, to read before quoting them.
    """

    rows: list[dict[str, Any]]
    peers: list[dict[str, Any]]
    gpu_claims: list[dict[str, Any]]
    utilization_claims: list[dict[str, Any]]
    ablation: list[dict[str, Any]]
    ablation_on: str | None
    gops_per_dsp: list[dict[str, Any]]
    notes: list[str]

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        rows = [
            (
                row["model"],
                row["system"],
                row["kind"],
                "-" if row["latency_ms"] is None else f"{row['latency_ms']:.3f} ms",
            )
            for row in self.rows
        ]
        return table("Modelled accelerators and published systems", ("model", "system", "", "latency"), rows)


class Export(Result):
    """A program that was exported to another format.

    Attributes:
        file: File or folder that was written.
        format: "onnx-integer", "onnx-qdq", "c", "web" or "vectors".
        files: All files that were written.
        images: Number of photos that the export and the program were compared on.
        opset: ONNX opset; None for other formats.
        max_abs_diff: Largest difference of the logits, in integers ("onnx-integer", "c", "web") or real units
            ("onnx-qdq"); None if nothing was compared.
    """

    file: str
    format: str
    files: list[str]
    images: int
    opset: int | None
    max_abs_diff: int | float | None


class Cosimulation(Result):
    """Simulation of the generated hardware, compared with the program layer by layer.

    Attributes:
        predicted: Cycles of one photo according to the timing model.
        mismatches: Number of tensors that differ; None if nothing was simulated.
        store_differences: Number of stores that complete in another cycle than predicted; None if not simulated.
    """

    predicted: int
    mismatches: int | None = None
    store_differences: int | None = None

    @property
    def passed(self) -> bool:
        """Whether all numbers are equal and all stores complete in the predicted cycle."""
        return not self.mismatches and not self.store_differences
