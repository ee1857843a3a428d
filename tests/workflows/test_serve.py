"""``p2vit serve`` as a process: its address, its answers, and its end."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from p2vit.errors import MissingPackageError, P2vitError
from p2vit.workflows import serve
from p2vit.workflows.run import run_photos


@pytest.fixture
def server(digits_program):
    """Start the command, and end it."""
    started = []

    def start(*options):
        words = [sys.executable, "-m", "p2vit", "serve", digits_program, "--port", 0, "--json", *options]
        process = subprocess.Popen(
            [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            text += line
        return process, json.loads(text)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def post(report, body, kind="image/png"):
    host, _, port = report["url"].removeprefix("http://").rpartition(":")
    client = http.client.HTTPConnection(host, int(port), timeout=30)
    client.request("POST", "/classify", body, {"Content-Type": kind})
    answer = client.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "photo.png"
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_answers_as_run_does_and_ends_with_0(server, digits_program, photo, stop):
    process, report = server()
    assert set(report) == {"program", "program_sha256", "backend", "outputs", "url"}
    status, answer = post(report, photo.read_bytes())
    assert status == 200
    expected = run_photos(digits_program, [photo])
    assert answer["outputs"][0]["logits"] == expected["outputs"][0]["logits"]
    assert answer["outputs"][0]["label"] == expected["outputs"][0]["label"]
    assert answer["program_sha256"] == expected["program_sha256"] == report["program_sha256"]
    process.send_signal(stop)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_photos_in_the_queue_are_answered_after_the_signal(server, photo):
    # A lone photo of two waits for the deadline; the signal comes meanwhile.
    process, report = server("--deadline-ms", 1500, "--batch", 64)
    answers = []
    data = photo.read_bytes()
    threads = [threading.Thread(target=lambda: answers.append(post(report, data))) for _ in range(6)]
    host, _, port = report["url"].removeprefix("http://").rpartition(":")
    # A client that has not sent all yet holds a place, so that the others wait for it.
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        threading.Event().wait(0.3)
        for thread in threads:
            thread.start()
        threading.Event().wait(0.6)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(20)
    assert [status for status, _ in answers] == [200] * 6
    assert process.communicate(timeout=40)[1] == ""
    assert process.returncode == 0


def test_an_address_in_use_is_named(p2vit, digits_program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = p2vit("serve", digits_program, "--port", port)
    assert done.code == 2
    assert f"--host 127.0.0.1 --port {port}: cannot listen there (" in done.err
    assert "Choose another port; 0 takes a free one" in done.err


def test_a_host_that_is_none(digits_program):
    with pytest.raises(P2vitError, match=r"^--host no such host --port 0: cannot listen there"):
        serve.run_server(digits_program, host="no such host", port=0)


@pytest.mark.parametrize("package", serve.PACKAGES)
def test_a_missing_package_names_the_extra(package, monkeypatch, digits_program):
    import importlib.util

    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else original(name))
    with pytest.raises(
        MissingPackageError, match=r"serving needs the package '[a-z-]+'\. Install it with: .*serve"
    ):
        serve.make_application(digits_program)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--batch", 0), ("--port", 70000), ("--queue", 0), ("--deadline-ms", -1), ("--top", 0)],
)
def test_options_are_checked(p2vit, digits_program, option, value):
    done = p2vit("serve", digits_program, option, value)
    assert done.code == 2
    assert option in done.err or option.strip("-").replace("-", "_") in done.err


def test_a_form_that_is_cut_is_refused_and_not_answered_in_part(server, photo):
    _, report = server()
    data = photo.read_bytes()
    part = b'--cut\r\nContent-Disposition: form-data; name="a"; filename="%s.png"\r\n\r\n' + data + b"\r\n"
    form = part.replace(b"%s", b"one") + part.replace(b"%s", b"two")
    kind = "multipart/form-data; boundary=cut"
    assert post(report, form + b"--cut--\r\n", kind)[0] == 200
    status, answer = post(report, form[:-30], kind)
    assert (status, list(answer)) == (400, ["error"])
