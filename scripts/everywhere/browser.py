"""WebAssembly in Chromium: runs the files of a web export there and returns the integers."""

import base64
import functools
import http.server
import importlib.util
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from programs import Integers, Subject

from p2vit.engine.native import NativeExecutor
from p2vit.export.web.write import build_web, write_web

#: Target → what the table calls it.
BROWSERS = {
    "wasm-relaxed": "WebAssembly with relaxed SIMD, Chromium",
    "wasm-simd": "WebAssembly with SIMD, Chromium",
    "wasm-scalar": "WebAssembly without SIMD, Chromium",
}
#: Runs photos in the page through the package's own entry. Bytes travel as base64.
RUN = """
async ([variant, photos]) => {
  const { load } = await import("/index.js");
  const model = await load({ variant });
  const bytes = Uint8Array.from(atob(photos), (c) => c.charCodeAt(0));
  const each = model.height * model.width * model.channels;
  const rows = [];
  const start = performance.now();
  for (let at = 0; at < bytes.length; at += each) {
    const { outputs, features } = model.runWithFeatures(bytes.subarray(at, at + each));
    rows.push([Array.from(outputs), Array.from(features)]);
  }
  return { rows, seconds: (performance.now() - start) / 1000 };
}
"""


def missing_browser() -> str | None:
    """Return what this machine lacks to compile and run WebAssembly in Chromium, or None."""
    for package in ("ziglang", "wasmtime", "playwright"):
        if importlib.util.find_spec(package) is None:
            return f"the Python package {package}"
    return None if chromium() else "chromium"


def chromium() -> str | None:
    """Return the path of Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback interface; give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def opened(address: str) -> Iterator[Any]:
    """Open a page in headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(address)
            yield page
        finally:
            browser.close()


def run_in_browser(name: str, subject: Subject, photos: int) -> tuple[list[Integers], float]:
    """Run photos in Chromium.

    Returns:
        Outputs and features of each photo, and the seconds that they took.
    """
    folder = subject.folder / "web"
    # Any exact executor may write the built-in check; the comparison here is with the reference.
    export = build_web(
        subject.program, subject.pixels[:2], NativeExecutor(subject.program), program_sha256=subject.sha256
    )
    write_web(export, folder, overwrite=True)
    answers: list[Integers] = []
    start = time.perf_counter()
    with served(folder) as address, opened(f"{address}/index.html") as page:
        for first in range(0, photos, 10):
            sent = base64.b64encode(subject.pixels[first : min(first + 10, photos)].tobytes()).decode()
            found = page.evaluate(RUN, [name.removeprefix("wasm-"), sent])
            answers += [
                {key: np.array(values, np.int64) for key, values in zip(subject.answers, row, strict=True)}
                for row in found["rows"]
            ]
    return answers, time.perf_counter() - start
