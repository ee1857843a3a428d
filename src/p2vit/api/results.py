"""What calls return: frozen objects whose ``model_dump()`` is what the command line prints with ``--json``."""

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
from p2vit.api.html import percent, table
from p2vit.evaluate.accuracy import Accuracy
from p2vit.evaluate.comparison import Comparison
from p2vit.evaluate.features import FeatureAccuracy
from p2vit.program.audit import AuditReport


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class that a program gives to a photo.

    Attributes:
        label: The class's name, or its index where the program names none.
        index: Which output, from 0.
        score: Softmax of the logits times 2^exponent, 0 to 1 over all classes. It is computed in floating point
            from the program's integers, for people to read. It orders classes as the integers do.
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
    """How good a program is on photos; percentages are 0 to 100, SQNR is in dB, None where unknown.

    Attributes:
        feature: Figures of the feature; None unless asked for.
        data: What it was measured on.
        model: The float model that it is compared with.
        backend: Who ran the program.
        threads: CPU threads.
        processes: Processes that shared the photos.
        program: Its folder, or ``in memory``.
        program_sha256: Its hash.
        evaluation_seconds: Wall-clock seconds.
        skipped: ``file`` and ``reason`` of photos that could not be read.
    """

    feature: FeatureAccuracy | None
    data: str
    model: str | None
    backend: str
    threads: int
    processes: int
    program: str
    program_sha256: str
    evaluation_seconds: float
    skipped: list[dict[str, str]]

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = [
            ("top-1", percent(self.top1), percent(self.top1_float)),
            ("top-5", percent(self.top5), percent(self.top5_float)),
            ("agreement with float", percent(self.agreement), ""),
            ("SQNR of the feature", "-" if self.sqnr_db is None else f"{self.sqnr_db:.2f} dB", ""),
        ]
        return table(
            f"{self.images} photos of {self.data}", ("", "integers", "float"), rows, notes=self.notes
        )


class Audit(AuditReport):
    """The proof that a program is what is claimed of it; ``problems`` says what does not hold."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return not self.problems

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = [
            ("float operations", str(self.float_ops)),
            ("scales that are no powers of two", str(self.non_pot_scales)),
            ("widest accumulator", f"{self.max_accumulator_bits} bits of 32"),
            ("widest register", f"{self.max_register_bits} bits of 32"),
        ]
        return table("passed" if self.passed else "FAILED", ("", ""), rows, notes=self.problems)


class Verification(Comparison):
    """The same photos on several back-ends, compared number by number.

    Attributes:
        data: Photos that were run.
        program: The program's folder, or ``in memory``.
        program_sha256: Its hash.
    """

    data: str
    program: str
    program_sha256: str

    @property
    def passed(self) -> bool:
        """Whether every number of every tensor is the same."""
        return self.mismatches == 0

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = [
            ("back-ends", ", ".join(self.backends)),
            ("photos", str(self.images)),
            ("tensors", str(self.tensors_compared)),
            ("numbers", f"{self.values_compared:,}"),
            ("tensors that differ", str(self.mismatches)),
        ]
        return table("identical" if self.passed else "DIFFERENT", ("", ""), rows)


class Simulation(Simulated):
    """A model on a modelled accelerator. Every figure is modelled; each name says its unit.

    Attributes:
        limiting: ``resource`` that limits the speed, and the share of time that it is ``busy``; None if the model
            does not fit.
        levers: What twice of each resource would gain; None if the model does not fit.
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
        """A small table, for notebooks."""
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
            ("use of the MAC array", percent(100 * (self.utilization or 0))),
        ]
        return table(title, ("", ""), rows)


class Result(BaseModel):
    """A frozen object with the keys of a verb's JSON as attributes; docs/cli.md names them."""

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
    """Accelerators that a search found for a model. Every figure is modelled.

    Attributes:
        model: The model.
        hardware: Description that the search started from.
        objectives: Figures that were made small.
        points: Points proposed.
        feasible: Points that fit and keep the budget.
        pareto: ``parameters`` and ``figures`` of each point that no other one beats.
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
        """A small table, for notebooks: the front's objectives."""
        rows = [
            tuple(f"{point['figures'][name]:.4g}" for name in self.objectives) for point in self.pareto[:20]
        ]
        return table(f"{self.model}: {len(self.pareto)} machines on the front", tuple(self.objectives), rows)


class SystemComparison(Result):
    """Modelled accelerators beside published and measured systems.

    Attributes:
        rows: A system with a model: figures, ``kind`` (published, modelled or measured), ``source`` and ``ratio``.
        ablation: The paper's pipelining ablation on the machine ``ablation_on``; empty where no machine is for it.
        ablation_on: That machine; None where there is none.
        gops_per_dsp: GOPS per DSP of the paper's models beside published ones; empty without a machine with DSPs.
        notes: What to know before figures are quoted.
    """

    rows: list[dict[str, Any]]
    ablation: list[dict[str, Any]]
    ablation_on: str | None
    gops_per_dsp: list[dict[str, Any]]
    notes: list[str]

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = [
            (
                row["model"],
                row["system"],
                row["kind"],
                "-" if row["latency_ms"] is None else f"{row['latency_ms']:.3f} ms",
            )
            for row in self.rows
        ]
        return table("Modelled machines beside published systems", ("model", "system", "", "latency"), rows)


class Export(Result):
    """A program in another format.

    Attributes:
        file: What was written.
        format: ``onnx-integer``, ``onnx-qdq`` or ``vectors``.
        files: All files.
        images: Photos that both sides were run on.
        opset: ONNX opset; None for vectors.
        max_abs_diff: Largest difference of the logits: integers for ``onnx-integer``, real values for ``onnx-qdq``.
    """

    file: str
    format: str
    files: list[str]
    images: int
    opset: int | None
    max_abs_diff: int | float | None


class Cosimulation(Result):
    """Photos through the generated hardware, compared layer by layer with the program.

    Attributes:
        predicted: Cycles that the timing model says.
        mismatches: Tensors with a number that differs; None where nothing was run.
        store_differences: Stores that are done in another cycle than the timing model says; None likewise.
    """

    predicted: int
    mismatches: int | None = None
    store_differences: int | None = None

    @property
    def passed(self) -> bool:
        """Whether every number, and every store's cycle, is as it should be."""
        return not self.mismatches and not self.store_differences
