"""Search space of `explore`: what may change, within which budgets, and what is minimized."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from p2vit.accel.explore.evaluate import Builder
from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.yaml_file import read_yaml
from p2vit.errors import P2vitError

Objective = Literal["latency_ms", "energy_mj", "area_mm2", "power_mw", "dsps"]
_SPACES = files("p2vit.accel.explore") / "spaces"


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(_Described):
    """Upper bounds. A point that exceeds one of them is not part of the front."""

    latency_ms: Annotated[float, Field(gt=0)] | None = None
    energy_mj: Annotated[float, Field(gt=0)] | None = None
    area_mm2: Annotated[float, Field(gt=0)] | None = None
    power_mw: Annotated[float, Field(gt=0)] | None = None
    dsps: Annotated[float, Field(gt=0)] | None = None

    def excess(self, figures: dict[str, float]) -> list[float]:
        """Return the relative excess of each bounded figure over its bound; it is not positive if the bound holds."""
        bounds = {name: bound for name, bound in self.model_dump().items() if bound is not None}
        return [figures[name] / bound - 1 for name, bound in bounds.items()]


class Space(_Described):
    """Search space."""

    format: Literal[1] = 1
    summary: str = ""
    parameters: dict[str, tuple[int | float, ...]] = Field(
        min_length=1,
        description="Values to choose from, by path in the machine description; for a machine that can be generated, "
        "by the name of the size in `p2vit rtl --set`.",
    )
    weight_bits: tuple[Literal[4, 8], ...] = Field(
        (8,),
        min_length=1,
        description="Weight widths to choose from; one width applies to all linear layers.",
    )
    objectives: tuple[Objective, ...] = Field(
        ("latency_ms", "energy_mj", "area_mm2"), min_length=1, description="Figures to minimize."
    )
    budget: Budget = Budget()

    def check(self, machine: Machine, where: str, build: Builder = edit_machine) -> None:
        """Check that all paths and values are allowed in the machine description.

        Args:
            machine: Machine that the points change.
            where: Name of the file that the space comes from.
            build: Makes the machine of a point.

        Raises:
            AccelError: A path or a value is not allowed; the message lists all of them.
        """
        problems: list[str] = []
        for path, values in self.parameters.items():
            if not values:
                problems.append(f"parameters.{path}: no values to choose from")
            for value in values:
                try:
                    build(machine, {path: value})
                except AccelError as error:
                    problems += error.problems
                except P2vitError as error:
                    problems.append(str(error))
        if "dsps" in (*self.objectives, *self.budget.model_dump(exclude_none=True)) and not machine.dsps:
            problems.append(
                f"dsps: {machine.name} is not counted in DSPs (chunks.mac_array.macs_per_dsp is 0)"
            )
        if problems:
            raise AccelError(where, dict.fromkeys(problems))

    def without_weight_bits(self) -> "Space":
        """Return a copy of the space for a model whose weight widths are fixed."""
        return self.model_copy(update={"weight_bits": ()})

    @property
    def size(self) -> int:
        """Number of different points."""
        size = max(len(self.weight_bits), 1)
        for values in self.parameters.values():
            size *= len(values)
        return size


def known_spaces() -> list[str]:
    """Return the names of the shipped search spaces, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _SPACES.iterdir() if entry.name.endswith(".yaml")
    )


def load_space(name: str) -> Space:
    """Load a search space by name or path.

    Args:
        name: Name of a shipped space, or path that ends in ``.yaml``.

    Returns:
        Space, not yet checked against a machine.

    Raises:
        AccelError: The name is unknown, or the file is not valid; the message lists every problem with its line.
    """
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name), Space)
    if name not in known_spaces():
        raise AccelError("search space", [f"none is called {name!r}; {suggestion(name, known_spaces())}"])
    return read_yaml(Path(str(_SPACES / f"{name}.yaml")), Space)
