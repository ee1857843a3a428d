"""Published figures of the paper and of other systems, each with its source."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from p2vit.accel.yaml_file import read_yaml

#: System name of the paper's own figures in the file.
AUTHORS = "P2-ViT (its authors)"


class PublishedLatency(BaseModel):
    """Published latency of one batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    model: str = Field(description="Architecture, as timm calls it.")
    bits: Literal[4, 8] = Field(description="Weight width.")
    batch: Annotated[int, Field(ge=1)]
    batch_ms: Annotated[float, Field(gt=0)]
    board_w: Annotated[float, Field(gt=0)] = Field(description="Power limit of the board, an upper bound.")
    source: str

    @property
    def images_per_s(self) -> float:
        """Throughput in images per second."""
        return self.batch / self.batch_ms * 1e3

    @property
    def at_most_mj(self) -> float:
        """Upper bound of the energy per image in mJ: the board at its power limit all the time."""
        return self.board_w * self.batch_ms / self.batch


class PublishedDensity(BaseModel):
    """Published GOPS per DSP of one system and model."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    model: str = Field(description="Architecture, as timm calls it.")
    value: Annotated[float, Field(gt=0)] = Field(description="GOPS per DSP.")
    source: str = Field(description="Paper and table; only figures of one table are comparable.")


class Claims(BaseModel):
    """What the P²-ViT paper claims in its abstract."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    speedup: Annotated[float, Field(gt=0)] = Field(description="Speed over GPU Turing Tensor Cores.")
    energy_saving: Annotated[float, Field(gt=0)] = Field(description="Energy of the GPU over its own.")
    utilization: Annotated[float, Field(gt=0)] = Field(
        description="Computation utilization over quantization-based ViT accelerators."
    )
    source: str


class Published(BaseModel):
    """Contents of the file of published figures."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    latencies: tuple[PublishedLatency, ...]
    same_shape: dict[str, str] = Field(description="Model → model with the same operations and shapes.")
    gops_per_dsp: tuple[PublishedDensity, ...]
    claims: Claims

    def of(self, model: str) -> list[PublishedLatency]:
        """Return the latencies of a model, or of the model with the same shapes."""
        shape = self.same_shape.get(model, model)
        return [latency for latency in self.latencies if latency.model == shape]

    def densities(self, model: str, system: str | None = None) -> list[PublishedDensity]:
        """Return the GOPS per DSP of a model, of one system or of all."""
        return [row for row in self.gops_per_dsp if row.model == model and system in (None, row.system)]


def load_published() -> Published:
    """Load the shipped file."""
    return read_yaml(Path(str(files("p2vit.accel") / "published.yaml")), Published)
