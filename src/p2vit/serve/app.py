"""The ASGI application: ``POST /classify``, ``GET /health``, ``GET /metrics`` and ``GET /``."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from p2vit.errors import DataError, first_line
from p2vit.serve.answers import Answers
from p2vit.serve.service import BusyError, Service

MULTIPART = "multipart/form-data"
#: Content types of a body that is one photo, beside image/*.
RAW = ("application/octet-stream", "")
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
GONE = 499
#: A body is read to this multiple of what is allowed, and what is too much is thrown away.
DISCARDED = 4
LOG = logging.getLogger(__name__)


def make_app(service: Service, answers: Answers) -> Starlette:
    """Make the application.

    Args:
        service: Runs the program.
        answers: Turns its integers into what is returned.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    async def classify(request: Request) -> Response:
        start = time.perf_counter()
        try:
            response = await _answered(service, answers, request)
        except (
            Exception
        ) as error:  # A defect: the client learns nothing of it, and the next request is answered.
            LOG.error("a request failed: %s: %s", type(error).__name__, first_line(error))
            response = JSONResponse({"error": "internal error"}, 500)
        service.metrics.requests.labels(str(response.status_code)).inc()
        service.metrics.seconds.observe(time.perf_counter() - start)
        return response

    async def health(request: Request) -> Response:
        if service.draining:
            return JSONResponse({"status": "shutting down"}, 503)
        return JSONResponse({"status": "ok"})

    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), media_type=PROMETHEUS)

    async def about(request: Request) -> Response:
        return JSONResponse(answers.about)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = _MESSAGES.get(error.status_code, error.detail)
        return JSONResponse({"error": message}, error.status_code, dict(error.headers or {}))

    return Starlette(
        routes=[
            Route("/classify", classify, methods=["POST"]),
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/", about),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: refused},
    )


_MESSAGES = {
    404: "no such page; there are POST /classify, GET /health, GET /metrics and GET /",
    405: "this page does not take that method; POST photos to /classify, and GET the others",
}


async def _answered(service: Service, answers: Answers, request: Request) -> Response:
    """Answer one request, whatever is wrong with it."""
    try:
        with service.hold():
            return await _classified(service, answers, request)
    except BusyError:
        message = "too many photos are waiting; try again in a second"
        return JSONResponse({"error": message}, 503, {"Retry-After": "1"})
    except _Refusal as refusal:
        # What is left of the body is not read, so the connection cannot be used again.
        headers = {"Connection": "close"} if refusal.status in (408, 413) else {}
        return JSONResponse({"error": str(refusal)}, refusal.status, headers)
    except ClientDisconnect:
        return Response(status_code=GONE)


class _Refusal(Exception):  # noqa: N818 - an answer, not a fault of the server
    """A request that is not answered with logits."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def _classified(service: Service, answers: Answers, request: Request) -> Response:
    body = await _body(service, request)
    photos = await _photos(service, request, body)
    async with AsyncExitStack() as stack:
        if len(photos) > 1:
            stack.enter_context(service.hold(len(photos) - 1))
        found = await asyncio.gather(*(_one(service, data) for _, data in photos))
    outputs, skipped = [], []
    for (name, _), result in zip(photos, found, strict=True):
        if isinstance(result, DataError):
            skipped.append({"name": name, "reason": str(result)})
        else:
            outputs.append(answers.of(name, result))
    service.metrics.photos.inc(len(outputs))
    service.metrics.refused.inc(len(skipped))
    if not outputs:
        reason = skipped[0]["reason"]
        raise _Refusal(422, f"no photo could be read; the first: {reason}")
    return JSONResponse(answers.whole(outputs, skipped))


async def _one(service: Service, data: bytes) -> Any:
    try:
        return await service.logits(await service.pixels(data))
    except DataError as error:
        return error


async def _body(service: Service, request: Request) -> bytes:
    """Read the body, never more than allowed, and not for ever."""
    most = service.limits.body
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdigit() else 0
    # A client that asked first sends nothing; others are read on a while, so that they can read the answer.
    if announced > most and "expect" in request.headers:
        raise _Refusal(413, f"the body is larger than {most:,} bytes")
    body, read = bytearray(), 0
    try:
        async with asyncio.timeout(service.limits.read_seconds):
            async for chunk in request.stream():
                read += len(chunk)
                if read <= most:
                    body += chunk
                elif read > DISCARDED * most:
                    break
    except TimeoutError:
        seconds = service.limits.read_seconds
        raise _Refusal(408, f"the body did not arrive within {seconds:g} seconds") from None
    if read > most:
        raise _Refusal(413, f"the body is larger than {most:,} bytes")
    return bytes(body)


async def _photos(service: Service, request: Request, body: bytes) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of each photo of a body: the body itself, or the files of a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in RAW:
        return [("photo", body)]
    if kind != MULTIPART:
        raise _Refusal(
            415,
            f"content type {kind[:80]!r} is not taken; send the bytes of a photo as image/*, or {MULTIPART}",
        )

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(
        request.headers, stream(), max_files=service.limits.photos, max_fields=service.limits.photos
    )
    parser.spool_max_size = len(body) + 1
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError, KeyError, UnicodeDecodeError) as error:
        message = error.message if isinstance(error, MultiPartException) else "it is damaged"
        raise _Refusal(400, f"the form cannot be read: {message}") from None
    if not parser.ended:
        raise _Refusal(400, "the form cannot be read: it ends before its last boundary")
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not files:
        raise _Refusal(400, "the form has no file; add photos as files, as curl -F photo=@cat.jpg does")
    return [(str(file.filename or f"photo {at}"), await file.read()) for at, file in enumerate(files)]


class _InMemory(MultiPartParser):
    """A form parser whose files never go to the disk; the body is bounded and in memory already."""

    ended = False  # whether the last boundary has come; without it, a photo may be missing

    def on_end(self) -> None:
        self.ended = True
