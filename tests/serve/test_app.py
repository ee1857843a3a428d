"""The application on its own: every answer, every refusal, and no file but the program."""

import asyncio
import io
import re
import struct
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("httpx")
pytest.importorskip("prometheus_client")

from starlette.testclient import TestClient

from p2vit.data.photo_file import pixel_limit
from p2vit.data.preprocess import to_pixels
from p2vit.engine.reference import ReferenceExecutor
from p2vit.serve.answers import Answers
from p2vit.serve.app import make_app
from p2vit.serve.metrics import Metrics
from p2vit.serve.service import Limits, Service
from support.meaningful import meaningful_program

PROGRAM = meaningful_program()
CLASSES = ("ant", "bee", "cat", "dog", "eel")
HTML = {"content-type": "text/html"}
PNG = {"content-type": "image/png"}


def photo(seed=0, form="PNG", size=(30, 20), mode="RGB"):
    """Bytes of a random photo, and the same photo."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue(), Image.open(io.BytesIO(buffer.getvalue()))


def right(image):
    """The reference's logits of a photo."""
    return ReferenceExecutor(PROGRAM).logits(to_pixels(image, PROGRAM.preprocessing)[None])[0].tolist()


class Slow:
    """An executor that waits until it is let go, and counts."""

    def __init__(self):
        self.go, self.batches = threading.Event(), []

    def logits(self, pixels):
        self.go.wait(10)
        self.batches.append(len(pixels))
        return ReferenceExecutor(PROGRAM).logits(pixels)


def make(executor=None, kind="classes", classes=CLASSES, **limits):
    metrics = Metrics("ab" * 32, "reference")
    service = Service(PROGRAM, executor or ReferenceExecutor(PROGRAM), Limits(**limits), metrics)
    return make_app(service, Answers(PROGRAM, "ab" * 32, "reference", kind, classes, 3)), service


@pytest.fixture
def client():
    with TestClient(make(body=200_000, photos=4)[0], raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_photo_gets_the_integers_of_the_reference(client, form):
    data, image = photo(form=form)
    answer = client.post("/classify", content=data, headers={"content-type": f"image/{form.lower()}"}).json()
    (row,) = answer["outputs"]
    assert row["logits"] == right(image)
    best = int(np.argmax(row["logits"]))
    assert (row["label"], row["index"]) == (CLASSES[best], best)
    assert [each["label"] for each in row["top"]] == [
        CLASSES[at] for at in np.argsort(-np.array(row["logits"]), kind="stable")[:3]
    ]
    exponent = answer["logit_exponent"]
    scores = np.exp(np.array(row["logits"]) * 2.0**exponent)
    assert row["score"] == pytest.approx(scores.max() / scores.sum())
    assert answer["skipped"] == []
    assert answer["program_sha256"] == "ab" * 32


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_modes_are_read_as_run_reads_them(client, mode):
    data, image = photo(mode=mode, form="TIFF" if mode == "CMYK" else "PNG")
    answer = client.post("/classify", content=data, headers=PNG)
    if mode == "CMYK":
        assert answer.status_code == 422  # TIFF is not among the formats that are decoded
    else:
        assert answer.json()["outputs"][0]["logits"] == right(image)


def test_a_form_of_photos_keeps_their_order_and_names(client):
    photos = [photo(seed) for seed in range(3)]
    files = [("photo", (f"{seed}.png", data, "image/png")) for seed, (data, _) in enumerate(photos)]
    files.insert(1, ("photo", ("bad.png", b"no photo", "image/png")))
    answer = client.post("/classify", files=files, data={"note": "a field"}).json()
    assert [row["name"] for row in answer["outputs"]] == ["0.png", "1.png", "2.png"]
    assert [row["logits"] for row in answer["outputs"]] == [right(image) for _, image in photos]
    (skipped,) = answer["skipped"]
    assert skipped["name"] == "bad.png"
    assert skipped["reason"].startswith(
        "not a photo, or damaged so that its format is unknown; allowed formats are"
    )


def bomb(width=50_000, height=50_000):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(9)))
        + chunk(b"IEND", b"")
    )


GOOD = photo()[0]
REFUSED = {
    "empty": (b"", PNG, 422, "no photo could be read; the first: empty, 0 bytes"),
    "damaged": (GOOD[:500], PNG, 422, "no photo could be read; the first: "),
    "bomb": (bomb(), PNG, 422, r"no photo could be read; the first: .*at most 178,956,970 are allowed"),
    "svg": (b"<svg/>", PNG, 422, "a drawing"),
    "type": (GOOD, HTML, 415, "content type 'text/html' is not taken; send the bytes of a photo as image/"),
    "large": (bytes(200_001), PNG, 413, "the body is larger than 200,000 bytes"),
    "no boundary": (GOOD, {"content-type": "multipart/form-data"}, 400, "the form cannot be read: "),
    "no form": (GOOD, {"content-type": "multipart/form-data; boundary=a"}, 400, "the form cannot be read: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_photo_is_refused_with_its_reason(client, name):
    body, headers, status, message = REFUSED[name]
    answer = client.post("/classify", content=body, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert re.search(message if name == "bomb" else re.escape(message), error), error
    assert "/" not in error.replace("image/*", "").replace("multipart/form-data", "").replace("text/html", "")
    assert client.get("/health").json() == {"status": "ok"}


def test_chunked_bodies_are_bounded_too(client):
    sent = []

    def chunks():
        for _ in range(100):
            sent.append(1)
            yield bytes(10_000)

    assert client.post("/classify", content=chunks(), headers=PNG).status_code == 413
    asking = PNG | {"expect": "100-continue", "content-length": "900000"}
    assert client.post("/classify", content=b"", headers=asking).status_code == 413


def test_forms_without_files_or_with_too_many(client):
    answer = client.post("/classify", data={"a": "b"}, files=[])
    assert answer.status_code == 415  # a form without files is sent as urlencoded
    form = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/classify", content=form, headers=kind)
    assert (answer.status_code, answer.json()["error"][:20]) == (400, "the form has no file")
    files = [("p", (str(at), GOOD)) for at in range(5)]
    answer = client.post("/classify", files=files)
    assert answer.status_code == 400
    assert "Too many files" in answer.json()["error"]


def test_a_limit_of_pixels_is_the_server_s():
    with pixel_limit(500), TestClient(make()[0]) as client:
        answer = client.post("/classify", content=GOOD, headers=PNG)
        assert answer.status_code == 422
        assert "has 600 pixels, but at most 500 are allowed" in answer.json()["error"]


def test_other_pages_and_methods(client):
    assert client.get("/classify").status_code == 405
    assert client.get("/etc/passwd").json() == {
        "error": "no such page; there are POST /classify, GET /health, GET /metrics and GET /"
    }
    about = client.get("/").json()
    assert about["classes"] == list(CLASSES)
    assert about["image_size"] == list(PROGRAM.preprocessing.image_size)
    assert about["outputs"] == 5


def test_metrics_count_what_happened(client):
    client.post("/classify", content=GOOD, headers=PNG)
    client.post("/classify", content=b"no", headers=PNG)
    text = client.get("/metrics").text
    for line in (
        'p2vit_requests_total{status="200"} 1.0',
        'p2vit_requests_total{status="422"} 1.0',
        "p2vit_photos_total 1.0",
        "p2vit_photos_refused_total 1.0",
        "p2vit_photos_held 0.0",
        "p2vit_batch_photos_count 1.0",
    ):
        assert line in text.splitlines()
    from prometheus_client.parser import text_string_to_metric_families

    assert {family.name for family in text_string_to_metric_families(text)} >= {
        "p2vit_requests",
        "p2vit_info",
    }


def together(count, executor, **limits):
    """Statuses and answers of requests sent at the same time."""
    import httpx

    app, _ = make(executor, **limits)
    photos = [photo(seed) for seed in range(count)]

    async def run():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                asked = [
                    asyncio.create_task(client.post("/classify", content=data, headers=PNG))
                    for data, _ in photos
                ]
                await asyncio.sleep(0.3)
                executor.go.set()
                return await asyncio.gather(*asked)

    return asyncio.run(run()), photos


def test_photos_that_come_together_run_together():
    executor = Slow()
    answers, photos = together(9, executor, batch=4, deadline_ms=200)
    for answer, (_, image) in zip(answers, photos, strict=True):
        assert answer.json()["outputs"][0]["logits"] == right(image)
    assert sum(executor.batches) == 9
    assert max(executor.batches) <= 4
    assert len(executor.batches) <= 5


def test_a_full_queue_says_when_to_come_again():
    answers, _ = together(9, Slow(), queue=4, batch=2)
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(503)) == (4, 5)
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["Retry-After"] == "1"
    assert refused.json() == {"error": "too many photos are waiting; try again in a second"}


def test_a_fault_of_the_engine_is_answered_and_the_next_photo_too():
    class Broken(Slow):
        def logits(self, pixels):
            if not self.batches:
                self.batches.append(0)
                raise RuntimeError("/secret/path")
            return ReferenceExecutor(PROGRAM).logits(pixels)

    with TestClient(make(Broken())[0], raise_server_exceptions=False) as client:
        answer = client.post("/classify", content=GOOD, headers=PNG)
        assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
        assert client.post("/classify", content=GOOD, headers=PNG).status_code == 200
        assert 'p2vit_requests_total{status="500"} 1.0' in client.get("/metrics").text.splitlines()


def test_numbers_and_features_have_no_label():
    with TestClient(make(kind="feature", classes=())[0]) as client:
        answer = client.post("/classify", content=GOOD, headers=PNG).json()
    (row,) = answer["outputs"]
    assert (row["label"], row["score"], row["top"]) == (None, None, [])
    assert row["logits"] == right(photo()[1])


def test_requests_open_no_file(client, monkeypatch):
    """Large photos of a form would go to a temporary file in starlette's own parser."""
    client.post("/classify", files=[("p", ("a", GOOD))])  # imports whatever is imported late
    opened, watching = [], True

    def watch(event, arguments):
        if watching and event == "open" and isinstance(arguments[0], str):
            opened.append(arguments[0])

    sys.addaudithook(watch)
    large = photo(size=(250, 200), form="BMP")[0][:180_000]
    assert len(large) > 100_000
    client.post("/classify", files=[("p", ("../../etc/passwd", large)), ("p", ("/etc/passwd", GOOD))])
    watching = False
    assert opened == []
