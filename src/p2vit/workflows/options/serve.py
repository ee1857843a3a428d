"""Options of the server."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from p2vit.workflows.options.base import CHECKED, Options, Positive, Threads


@dataclass(frozen=True, config=CHECKED)
class ServeOptions(Options):
    """Options of serving a program over HTTP.

    Attributes:
        host: Address to listen on. The default is this machine alone.
        port: Port to listen on; 0 takes a free one.
        backend: Back-end that runs the program.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
        batch: Most photos of one run of the program.
        deadline_ms: Longest time that a photo waits for others, milliseconds.
        queue: Most photos that are held at a time; further ones get status 503.
        max_body: Most bytes of one request.
        max_photos: Most photos of one request.
        max_pixels: Largest photo, width × height.
        read_seconds: Longest time for a request's bytes to arrive.
        grace_seconds: Longest time that photos in the queue may take after the signal to stop.
        top: Number of classes listed with scores.
        class_names: Names of the outputs, or a file of them.
        class_index: Class-index file with the names of the outputs.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    backend: str = "auto"
    threads: Threads = None
    batch: Annotated[int, Field(ge=1, le=1024)] = 8
    deadline_ms: Annotated[float, Field(ge=0, le=60_000)] = 5.0
    queue: Annotated[int, Field(ge=1, le=100_000)] = 64
    max_body: Positive = 16 << 20
    max_photos: Annotated[int, Field(ge=1, le=1000)] = 16
    max_pixels: Positive = 25_000_000
    read_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    grace_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    top: Annotated[int, Field(ge=1, le=100_000)] = 5
    class_names: str | None = None
    class_index: Path | None = None
