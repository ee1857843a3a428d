"""Descriptions of published accelerators, and the machine of equal size that each of them becomes."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from p2vit.accel.machine.description import ChunkMachine, Machine, SingleEngineMachine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.yaml_file import read_yaml

#: Organisation of a peer: one of a machine description, or all layers side by side in space.
Organisation = Literal["chunks", "single_engine", "pipeline"]


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Peer(_Described):
    """Organisation of a published accelerator.

    The multipliers, the clock, the DRAM and the buffers are those of the machine that it is compared with.
    """

    name: str
    title: str
    source: Annotated[str, Field(min_length=1)] = Field(description="Where the known facts are from.")
    known: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Published facts.")
    assumed: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="What is not published and was chosen for this description."
    )
    organisation: Organisation
    softmax: Literal["linear", "log2"] = Field(
        description="Form of the softmax codes; linear codes make attention x V a product of 8-bit numbers."
    )
    lines: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Lines of the array; the lanes of a line follow from the number of multipliers."
    )
    changes: dict[str, Any] = Field(description="What differs from the machine, by dotted path.")
    published_as: str | None = Field(
        None, description="Name of the system among the published figures; None if there are none."
    )

    def beside(self, machine: ChunkMachine) -> Machine:
        """Return this organisation at the size of a machine.

        Args:
            machine: Machine of chunks; gives multipliers, clock, bandwidth, buffers and whatever is not changed.

        Returns:
            Machine with the same number of multipliers. For the organisation ``pipeline``, the machine whose
            multipliers are divided among the layers.

        Raises:
            AccelError: A change is not allowed; the message lists all of them.
        """
        changes = dict(self.changes)
        if self.lines is not None:
            changes |= {
                "chunks.mac_array.lines": self.lines,
                "chunks.mac_array.lanes_per_line": machine.chunks.mac_array.macs_per_cycle // self.lines,
            }
        base: Machine = _one_engine(machine) if self.organisation == "single_engine" else machine
        made = edit_machine(base, changes)
        return made.model_copy(
            update={"name": self.name, "summary": self.title, "known": self.known, "assumed": self.assumed}
        )


class Peers(_Described):
    """Contents of the file of peers."""

    format: Literal[1] = 1
    peers: tuple[Peer, ...]


def load_peers() -> tuple[Peer, ...]:
    """Load the shipped descriptions."""
    return read_yaml(Path(str(files("p2vit.accel.peers") / "peers.yaml")), Peers).peers


def _one_engine(machine: ChunkMachine) -> SingleEngineMachine:
    """Return a machine with the same chunks that executes one operation at a time, without shifters."""
    data: dict[str, Any] = machine.model_dump()
    chunks: Mapping[str, Any] = data["chunks"]
    data |= {
        "organisation": "single_engine",
        "chunks": {name: chunk for name, chunk in chunks.items() if name != "shifter_array"},
        "pipelining": {"inter_layer": False, "intra_layer": machine.pipelining.intra_layer},
        "reconfiguration_cycles": 0,
    }
    return SingleEngineMachine.model_validate(data)
