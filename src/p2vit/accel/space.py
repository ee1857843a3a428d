"""What `explore` may change, within which budgets, and what it tries to make small."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from p2vit.accel.edit import edit_machine
from p2vit.accel.machine import Machine
from p2vit.accel.problems import AccelError, did_you_mean
from p2vit.accel.yaml_file import read_yaml

Objective = Literal["latency_ms", "energy_mj", "area_mm2", "power_mw", "dsps"]
_SPACES = files("p2vit.accel") / "spaces"


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(_Described):
    """Upper bounds; a point beyond one of them is kept out of the front."""

    latency_ms: Annotated[float, Field(gt=0)] | None = None
    energy_mj: Annotated[float, Field(gt=0)] | None = None
    area_mm2: Annotated[float, Field(gt=0)] | None = None
    power_mw: Annotated[float, Field(gt=0)] | None = None
    dsps: Annotated[float, Field(gt=0)] | None = None

    def excess(self, figures: dict[str, float]) -> list[float]:
        """How far each bounded figure is over its bound, relative to it; not positive where it holds."""
        bounds = {name: bound for name, bound in self.model_dump().items() if bound is not None}
        return [figures[name] / bound - 1 for name, bound in bounds.items()]


class Space(_Described):
    """A search space."""

    format: Literal[1] = 1
    summary: str = ""
    parameters: dict[str, tuple[int | float, ...]] = Field(
        min_length=1, description="Values to choose from, by path in the machine description."
    )
    weight_bits: tuple[Literal[4, 8], ...] = Field(
        (8,), min_length=1, description="Precisions of every linear."
    )
    objectives: tuple[Objective, ...] = Field(
        ("latency_ms", "energy_mj", "area_mm2"), min_length=1, description="What to make small."
    )
    budget: Budget = Budget()

    def check(self, machine: Machine, where: str) -> None:
        """Refuse paths and values that the machine description does not have.

        Args:
            machine: The machine that would be changed.
            where: Name of the space's file.

        Raises:
            AccelError: listing every one of them.
        """
        problems: list[str] = []
        for path, values in self.parameters.items():
            if not values:
                problems.append(f"parameters.{path}: no values to choose from")
            for value in values:
                try:
                    edit_machine(machine, {path: value})
                except AccelError as error:
                    problems += error.problems
        if "dsps" in (*self.objectives, *self.budget.model_dump(exclude_none=True)) and not machine.dsps:
            problems.append(
                f"dsps: {machine.name} is not counted in DSPs (chunks.mac_array.macs_per_dsp is 0)"
            )
        if problems:
            raise AccelError(where, dict.fromkeys(problems))

    def without_weight_bits(self) -> "Space":
        """The same space for a model that has its own bits."""
        return self.model_copy(update={"weight_bits": ()})

    @property
    def size(self) -> int:
        """Number of different points."""
        size = max(len(self.weight_bits), 1)
        for values in self.parameters.values():
            size *= len(values)
        return size


def known_spaces() -> list[str]:
    """Names of the shipped search spaces."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _SPACES.iterdir() if entry.name.endswith(".yaml")
    )


def load_space(name: str) -> Space:
    """A shipped search space by name, or one's own by path.

    Args:
        name: Name, or path ending in ``.yaml``.

    Returns:
        The space, not yet checked against a machine.

    Raises:
        AccelError: listing every problem of the file with its line.
    """
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name), Space)
    if name not in known_spaces():
        raise AccelError("search space", [f"none is called {name!r}; {did_you_mean(name, known_spaces())}"])
    return read_yaml(Path(str(_SPACES / f"{name}.yaml")), Space)
