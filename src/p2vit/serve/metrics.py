"""Counters of the server in the text form of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from p2vit.version import __version__


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self, program_sha256: str, backend: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("p2vit_requests", "Requests, by status.", ["status"])
        self.photos = self._counter("p2vit_photos", "Photos that were answered.")
        self.refused = self._counter("p2vit_photos_refused", "Photos that could not be read.")
        self.held = Gauge("p2vit_photos_held", "Photos in the queue or running.", registry=self.registry)
        self.batch = Histogram(
            "p2vit_batch_photos",
            "Photos per batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        times = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
        self.seconds = Histogram(
            "p2vit_request_seconds", "Time of a request.", buckets=times, registry=self.registry
        )
        self.run_seconds = Histogram(
            "p2vit_run_seconds", "Time of a batch in the program.", buckets=times, registry=self.registry
        )
        info = Gauge(
            "p2vit_info", "What is served.", ["version", "program_sha256", "backend"], registry=self.registry
        )
        info.labels(__version__, program_sha256, backend).set(1)

    def _counter(self, name: str, about: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, about, labels or [], registry=self.registry)

    def text(self) -> bytes:
        """Return all counters in the text form of Prometheus."""
        return generate_latest(self.registry)
