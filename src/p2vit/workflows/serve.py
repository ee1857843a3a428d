"""``p2vit serve``: answer photos over HTTP with the program's integers."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from p2vit.engine.registry import open_backend
from p2vit.errors import MissingPackageError, P2vitError, first_line
from p2vit.workflows.answers import kind_of
from p2vit.workflows.class_names import given_names
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.serve import ServeOptions
from p2vit.workflows.threads import thread_count, torch_threads

PACKAGES = ("starlette", "uvicorn", "python_multipart", "prometheus_client")


def make_application(
    program: Path, options: ServeOptions | None = None, *, out: Feedback | None = None, **changes: Any
) -> tuple[Any, dict[str, Any]]:
    """Make the ASGI application of a program, for any ASGI server.

    Args:
        program: Folder of the program.
        options: Options; the defaults of `ServeOptions` if None.
        out: Receives warnings.
        **changes: Fields of `ServeOptions` that replace those of ``options``.

    Returns:
        The application, and what it serves: ``program``, ``program_sha256``, ``backend``, ``outputs``.

    Raises:
        MissingPackageError: A package of the extra ``serve`` is missing.
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    options, out = changed(ServeOptions, options, changes), out or Feedback()
    expect_packages()
    from p2vit.program.format import load, program_sha256
    from p2vit.serve.answers import Answers
    from p2vit.serve.app import make_app
    from p2vit.serve.metrics import Metrics
    from p2vit.serve.service import Limits, Service

    loaded = load(program)
    kind = kind_of(loaded)
    outputs_of_head = 0 if kind == "feature" else loaded.tensors[loaded.output].shape[-1]
    classes = given_names(options.class_names, options.class_index, outputs_of_head) or loaded.classes
    threads = thread_count(options.threads)
    name, executor = open_backend(options.backend, loaded, options.threads, out.warn)
    torch_threads(threads)
    sha256 = program_sha256(loaded)
    limits = Limits(
        batch=options.batch,
        deadline_ms=options.deadline_ms,
        queue=options.queue,
        body=options.max_body,
        photos=options.max_photos,
        read_seconds=options.read_seconds,
        decoders=threads,
    )
    service = Service(loaded, executor, limits, Metrics(sha256, name))
    answers = Answers(loaded, sha256, name, kind, classes, options.top)
    about = {"program": str(program), "program_sha256": sha256, "backend": name}
    return make_app(service, answers), about | {"outputs": len(answers.exponents)}


def run_server(
    program: Path,
    options: ServeOptions | None = None,
    *,
    out: Feedback | None = None,
    ready: Callable[[dict[str, Any]], None] = lambda report: None,
    **changes: Any,
) -> None:
    """Serve a program until SIGTERM or SIGINT; photos in the queue are still answered then.

    Args:
        program: Folder of the program.
        options: Options; the defaults of `ServeOptions` if None.
        out: Receives warnings.
        ready: Called once the port is open, with the keys of ``p2vit serve --json``.
        **changes: Fields of `ServeOptions` that replace those of ``options``.

    Raises:
        P2vitError: The address cannot be used, or as `make_application`.
    """
    from p2vit.data.photo_file import pixel_limit

    options = changed(ServeOptions, options, changes)
    app, about = make_application(program, options, out=out)
    import logging

    import uvicorn

    # A damaged form is the client's matter: it gets status 400, and the log does not grow.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        http="h11",
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=options.grace_seconds,
    )
    with pixel_limit(options.max_pixels), listening(options.host, options.port) as socket:
        host, port = socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                if self.started:
                    ready(about | {"url": f"http://{shown}:{port}"})

        server = Server(config)
        # uvicorn raises the signal once more after it has shut down: here that is the end of the verb, not a death.
        before = {kind: signal.signal(kind, lambda *_: None) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            server.run(sockets=[socket])
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def expect_packages() -> None:
    """Check that the extra ``serve`` is installed.

    Raises:
        MissingPackageError: A package is missing.
    """
    import importlib.util

    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise MissingPackageError(name.replace("_", "-"), "serving", "serve")


def listening(host: str, port: int) -> Any:
    """Open the socket of the server.

    Raises:
        P2vitError: The address or port cannot be used.
    """
    import socket

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = first_line(error).rpartition("] ")[2]
        raise P2vitError(
            f"--host {host} --port {port}: cannot listen there ({reason}). Choose another port; 0 takes a free one"
        ) from None
