"""An evaluation that is split into tasks for a cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from p2vit.cluster import open_pool
from p2vit.engine.registry import open_backend
from p2vit.evaluate.accuracy import executor_predict
from p2vit.evaluate.evaluation import Elsewhere, Job, Share, share_of
from p2vit.evaluate.records import Records
from p2vit.evaluate.world import World
from p2vit.program.graph import IntegerProgram
from p2vit.workflows.float_model import float_predict
from p2vit.workflows.options.evaluate import EvaluateOptions
from p2vit.workflows.threads import torch_threads

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel

Found = tuple[Records, list[tuple[int, str, str]]]


class _Place(World):
    """The position of one share among all. The process that runs it works alone."""

    def __init__(self, which: int, of: int) -> None:
        super().__init__()
        self.rank, self.size = which, of


@dataclass
class EvaluateShare:
    """Evaluates one share of the photos with one thread. It is an object so that it can be sent to a worker.

    Attributes:
        program: The program.
        backend: Name of the back-end; the worker opens it.
        model: The float model, or None.
        batch_size: Number of photos per batch.
        maps: Whether feature maps are measured.
        device: Device of the back-end.
    """

    program: IntegerProgram
    backend: str
    model: "FloatModel | None"
    batch_size: int
    maps: bool = False
    device: str = "cpu"
    _job: Any = field(default=None, repr=False)

    def __call__(self, share: Share) -> Found:
        """Return the records of a share and the photos that could not be read."""
        if self._job is None:
            torch_threads(1)
            _, executor = open_backend(self.backend, self.program, 1, device=self.device)
            self._job = executor_predict(self.program, executor, maps=self.maps)
        job = Job(
            program=self.program,
            predict=self._job,
            exact=None
            if self.model is None
            else float_predict(self.model, self.program.maps if self.maps else ()),
            batch_size=self.batch_size,
            workers=1,
            threads=1,
            prepare=lambda: torch_threads(1),
            world=_Place(share.which, share.of),
            progress=lambda stage, done, total: None,
        )
        return share_of(job, share.photos, share.order, "evaluate", share.keep)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the executor, which cannot leave its process."""
        return self.__dict__ | {"_job": None}


@contextmanager
def shared_out(
    options: EvaluateOptions, program: IntegerProgram, backend: str, model: "FloatModel | None"
) -> Iterator[Elsewhere | None]:
    """Open the cluster that the options name.

    Args:
        options: Options with ``engine``, ``address`` and ``workers``.
        program: The program.
        backend: Name of the back-end.
        model: The float model, or None.

    Yields:
        A function that evaluates shares on the cluster, or None if this machine does the work.

    Raises:
        P2vitError: The cluster cannot be reached.
    """
    if options.engine == "local":
        yield None
        return
    work = EvaluateShare(program, backend, model, options.batch_size, options.feature, options.device)
    with open_pool(options.cluster) as pool:

        def run(shares: Sequence[Share]) -> Iterator[Found]:
            return pool.map(work, shares)

        yield run
