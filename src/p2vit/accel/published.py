"""Published speeds of other systems, each with its source."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from p2vit.accel.yaml_file import read_yaml


class PublishedLatency(BaseModel):
    """One published latency of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    model: str = Field(description="Architecture, as timm calls it.")
    bits: Literal[4, 8] = Field(description="Of the weights.")
    batch: Annotated[int, Field(ge=1)]
    batch_ms: Annotated[float, Field(gt=0)]
    board_w: Annotated[float, Field(gt=0)] = Field(description="Power limit: an upper bound of what it took.")
    source: str

    @property
    def images_per_s(self) -> float:
        """Throughput."""
        return self.batch / self.batch_ms * 1e3

    @property
    def at_most_mj(self) -> float:
        """Energy of an image if the board took its limit all the time: an upper bound."""
        return self.board_w * self.batch_ms / self.batch


class Published(BaseModel):
    """The file of published speeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    latencies: tuple[PublishedLatency, ...]
    same_shape: dict[str, str] = Field(description="Models whose operations and shapes are another's.")

    def of(self, model: str) -> list[PublishedLatency]:
        """Latencies of a model, or of the one whose shapes it has."""
        shape = self.same_shape.get(model, model)
        return [latency for latency in self.latencies if latency.model == shape]


def load_published() -> Published:
    """The shipped file."""
    return read_yaml(Path(str(files("p2vit.accel") / "published.yaml")), Published)
