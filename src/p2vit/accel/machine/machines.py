"""Load machine descriptions: the shipped ones by name, others from a file."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from p2vit.accel.machine.description import ChunkMachine, LoadStoreMachine, Machine, SingleEngineMachine
from p2vit.accel.machine.technology import load_technology
from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.yaml_file import read_yaml

_DESCRIPTIONS = files("p2vit.accel.machine") / "descriptions"


def known_machines() -> list[str]:
    """Return the names of the shipped descriptions, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _DESCRIPTIONS.iterdir() if entry.name.endswith(".yaml")
    )


def load_machine(name: str) -> Machine:
    """Load a machine description by name or path.

    Args:
        name: Name of a shipped description, or path that ends in ``.yaml``. A relative technology path in that file
            starts at the file's folder.

    Returns:
        Validated machine.

    Raises:
        AccelError: The name is unknown, or the file is not valid; the message lists every problem with its line.
    """
    if not name.endswith((".yaml", ".yml")):
        if name not in known_machines():
            hint = suggestion(name, known_machines())
            raise AccelError(
                "machine", [f"no description is called {name!r}; {hint}; or give the path of a .yaml file"]
            )
        return read_yaml(Path(str(_DESCRIPTIONS / f"{name}.yaml")), Machine)
    path = Path(name)
    machine = read_yaml(
        path,
        Machine,
        next_step="docs/explanation/accelerator.md explains the keys; machine.schema.json lists them",
    )
    if machine.technology.endswith((".yaml", ".yml")):
        machine = machine.model_copy(update={"technology": str(path.parent / machine.technology)})
    # An unknown DRAM kind or table must be reported when the file is read, not during a search.
    load_technology(machine.technology).dram_energy(machine.dram.kind)
    return machine


def machine_schema() -> str:
    """Return the published JSON Schema of machine descriptions, as text."""
    described = TypeAdapter(
        Annotated[ChunkMachine | SingleEngineMachine | LoadStoreMachine, Field(discriminator="organisation")]
    )
    return json.dumps(described.json_schema(), indent=2, ensure_ascii=False) + "\n"
