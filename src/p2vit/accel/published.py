"""Published latencies of other systems, each with its source."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from p2vit.accel.yaml_file import read_yaml


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


class Published(BaseModel):
    """Contents of the file of published latencies."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    latencies: tuple[PublishedLatency, ...]
    same_shape: dict[str, str] = Field(description="Model → model with the same operations and shapes.")

    def of(self, model: str) -> list[PublishedLatency]:
        """Return the latencies of a model, or of the model with the same shapes."""
        shape = self.same_shape.get(model, model)
        return [latency for latency in self.latencies if latency.model == shape]


def load_published() -> Published:
    """Load the shipped file."""
    return read_yaml(Path(str(files("p2vit.accel") / "published.yaml")), Published)
