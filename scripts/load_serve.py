"""Load ``p2vit serve`` on loopback with good and malformed requests: results/serve.json.

    p2vit quantize digits --data digits -o out/digits
    python scripts/load_serve.py out/digits --requests 10000

Every answer is compared with the integers of the reference executor. One in five requests is malformed: damaged photos,
photos that claim billions of pixels, bodies that are too large, broken forms, bytes that are no HTTP, and clients
that go away. A photo that the full queue refuses (503) is sent again, as a client should.
"""

import argparse
import http.client
import io
import json
import random
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from p2vit.data.preprocess import to_pixels
from p2vit.engine.reference import ReferenceExecutor
from p2vit.program.format import load, program_sha256
from p2vit.workflows.machine import processor

ROOT = Path(__file__).resolve().parents[1]
MOST_BODY = 1 << 20
PERCENTILES = (50, 90, 99, 99.9)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def form(parts: list[tuple[str, bytes]], boundary: str = "x0x0x") -> tuple[bytes, str]:
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="p"; filename="{name}"\r\n'
        f"Content-Type: image/png\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Load:
    """The photos, what is right for each, and what happened."""

    def __init__(self, folder: Path, address: tuple[str, int], seed: int) -> None:
        program = load(folder)
        rng = np.random.default_rng(seed)
        height, width = program.preprocessing.image_size
        images = [
            Image.fromarray(rng.integers(0, 256, (height * 2, width * 2, 3), dtype=np.uint8))
            for _ in range(64)
        ]
        self.photos = [png(image) for image in images]
        pixels = np.stack([to_pixels(image, program.preprocessing) for image in images])
        self.right = ReferenceExecutor(program).logits(pixels).tolist()
        self.address = address
        self.lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.seconds: list[float] = []

    def send(self, client: http.client.HTTPConnection, body: bytes, kind: str) -> tuple[int, Any]:
        """POST a body; again after a second where the queue is full."""
        while True:
            client.request("POST", "/classify", body, {"Content-Type": kind})
            answer = client.getresponse()
            data = answer.read()
            with self.lock:
                self.statuses[answer.status] += 1
            if answer.status != 503:
                return answer.status, json.loads(data)
            time.sleep(float(answer.headers["Retry-After"]) * random.random())

    def good(self, client: http.client.HTTPConnection, rng: random.Random) -> str:
        """Send one photo; return what is wrong with the answer."""
        at = rng.randrange(len(self.photos))
        start = time.perf_counter()
        status, answer = self.send(client, self.photos[at], "image/png")
        with self.lock:
            self.seconds.append(time.perf_counter() - start)
        if status != 200 or answer["outputs"][0]["logits"] != self.right[at]:
            return f"photo {at}: status {status}, {str(answer)[:200]}"
        return ""

    def mixed_form(self, client: http.client.HTTPConnection, rng: random.Random) -> str:
        """Send a form of three photos and something else."""
        some = [rng.randrange(len(self.photos)) for _ in range(3)]
        parts = [(str(at), self.photos[at]) for at in some]
        parts.insert(rng.randrange(4), ("bad", rng.choice([b"", b"GIF89a", bomb(), self.photos[0][:40]])))
        status, answer = self.send(client, *form(parts))
        found = [row["logits"] for row in answer.get("outputs", ())]
        skipped = [row["name"] for row in answer.get("skipped", ())]
        if status != 200 or found != [self.right[at] for at in some] or skipped != ["bad"]:
            return f"form: status {status}, {str(answer)[:200]}"
        return ""

    def malformed(self, client: http.client.HTTPConnection, rng: random.Random) -> str:
        """Send what is no photo, or not as it must be sent."""
        photo = rng.choice(self.photos)
        body, kind, allowed = rng.choice(
            [
                (rng.randbytes(rng.randrange(1, 3000)), "image/png", {422}),
                (photo[: rng.randrange(1, len(photo) - 20)], "image/png", {422}),
                (bomb(), "image/png", {422}),
                (b"", "image/png", {422}),
                (photo, "text/html", {415}),
                (photo, "multipart/form-data", {400}),
                (photo, "multipart/form-data; boundary=abc", {400}),
                (form([("a", photo)])[0][:-30], form([])[1], {200, 400, 422}),
                (*form([(str(at), photo) for at in range(40)]), {400}),
                (bytes(MOST_BODY + 1), "image/png", {413}),
            ]
        )
        try:
            status, answer = self.send(client, body, kind)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            client.close()  # The server may close before a body that is too large was sent.
            return "" if len(body) > MOST_BODY else "connection lost"
        return (
            "" if status in allowed and ("error" in answer or status == 200) else f"{kind}: {status} {answer}"
        )

    def rude(self, client: http.client.HTTPConnection, rng: random.Random) -> str:
        """Bytes that are no request, or half a request, and away."""
        with socket.create_connection(self.address, 10) as raw:
            start = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 900\r\n\r\n"
            raw.sendall(
                rng.choice(
                    [rng.randbytes(200) + b"\r\n\r\n", start, start + self.photos[0][:100], b"GET /\r\n"]
                )
            )
            if rng.random() < 0.5:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return ""

    def work(self, count: int, seed: int) -> None:
        """Send requests one after the other, as one client."""
        rng = random.Random(seed)
        client = http.client.HTTPConnection(*self.address, timeout=60)
        for _ in range(count):
            kind = rng.choices(("good", "mixed_form", "malformed", "rude"), (70, 10, 15, 5))[0]
            try:
                problem = getattr(self, kind)(client, rng)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                client.close()
            with self.lock:
                self.done[kind] += 1
                if problem:
                    self.wrong.append(f"{kind}: {problem}")


def memory_kib(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "serve.json")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "p2vit", "serve", arguments.program, "--port", 0, "--json"]
    command += ["--max-body", MOST_BODY, "--read-seconds", 5]
    server = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    text = ""
    while not text.endswith("\n}\n"):
        text += server.stdout.readline() or sys.exit(server.stderr.read())
    about = json.loads(text)
    host, _, port = about["url"].removeprefix("http://").rpartition(":")
    load_ = Load(arguments.program, (host, int(port)), arguments.seed)
    before, start = memory_kib(server.pid), time.perf_counter()
    share = [len(range(at, arguments.requests, arguments.clients)) for at in range(arguments.clients)]
    threads = [threading.Thread(target=load_.work, args=(count, at)) for at, count in enumerate(share)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    crashed = server.poll() is not None
    client = http.client.HTTPConnection(host, int(port), timeout=10)
    client.request("GET", "/health")
    healthy = client.getresponse().status == 200
    after = memory_kib(server.pid)
    server.send_signal(signal.SIGTERM)
    complaints = server.communicate(timeout=60)[1]
    milliseconds = np.array(load_.seconds) * 1000
    found = {
        "command": f"python scripts/load_serve.py {shlex.join(sys.argv[1:])}",
        "program_sha256": program_sha256(load(arguments.program)),
        "backend": about["backend"],
        "clients": arguments.clients,
        "requests": sum(load_.done.values()),
        "kinds": dict(sorted(load_.done.items())),
        "statuses": {str(status): count for status, count in sorted(load_.statuses.items())},
        "crashes": int(crashed or not healthy),
        "wrong_answers": len(load_.wrong),
        "exit_status": server.returncode,
        "stderr_lines": len(complaints.splitlines()),
        "seconds": round(seconds, 2),
        "requests_per_second": round(sum(load_.done.values()) / seconds, 1),
        "latency_ms": {f"p{at:g}": round(float(np.percentile(milliseconds, at)), 2) for at in PERCENTILES},
        "memory_mib": {"before": before >> 10, "after": after >> 10},
        "machine": {"processor": processor()},
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    print(*load_.wrong[:20], complaints[:3000], sep="\n", file=sys.stderr)
    return int(bool(load_.wrong or crashed or server.returncode or complaints))


if __name__ == "__main__":
    sys.exit(main())
