"""The files of a web export: package, page, and the program as WebAssembly."""

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from p2vit.engine.executor import Executor
from p2vit.errors import P2vitError
from p2vit.export.c.write import build_c
from p2vit.export.web.check import Module
from p2vit.export.web.compile import VARIANTS, Variant, compile_modules
from p2vit.files import FileSet
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram
from p2vit.text import portable
from p2vit.version import __version__

#: Lines of a JavaScript module that a script without modules cannot have.
_IMPORT = re.compile(r"^import .*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


@dataclass(frozen=True)
class WebExport:
    """The files of a program for browsers, before they are written.

    Attributes:
        files: Name → content.
        modules: Variant → WebAssembly module.
        weights: Bytes of all weights.
        arena_bytes: Working memory in bytes.
    """

    files: dict[str, bytes]
    modules: dict[Variant, bytes]
    weights: bytes
    arena_bytes: int

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the weights, of each module, and of the working memory."""
        code = {f"{variant}_bytes": len(module) for variant, module in self.modules.items()}
        return {"weight_bytes": len(self.weights), **code, "arena_bytes": self.arena_bytes}


def asset(name: str) -> str:
    """Return the text of a file of ``assets/``."""
    return (files("p2vit.export.web") / "assets" / name).read_text(encoding="utf-8")


def build_web(
    program: IntegerProgram, pixels: IntArray, executor: Executor, *, program_sha256: str | None = None
) -> WebExport:
    """Make the files of a program for browsers, after its modules returned the executor's integers here.

    Args:
        program: The program.
        pixels: Photos for the built-in check, uint8 [B, H, W, 3].
        executor: Executor that computes the expected outputs.
        program_sha256: Hash of the program.

    Returns:
        The files.

    Raises:
        P2vitError: The C export cannot express the program, a package of the extra ``web`` is missing, or a module
            returns other integers than the executor.
    """
    export = build_c(program, pixels[:1], executor, weights="binary", program_sha256=program_sha256)
    weights = export.files["weights.bin"]
    modules = compile_modules(export)
    expected = executor.run(pixels)
    rows = {
        "outputs": expected[program.output].reshape(len(pixels), -1).astype(np.int32),
        "features": expected[program.feature].reshape(len(pixels), -1).astype(np.int32),
    }
    shape = program.pixels.shape
    for variant, code in modules.items():
        module = Module(code, weights, shape, rows["outputs"].shape[1], rows["features"].shape[1])
        wrong = sum(
            int(np.count_nonzero(found != rows[name][photo]))
            for photo in range(len(pixels))
            for name, found in module.run(pixels[photo]).items()
        )
        if wrong:
            raise P2vitError(
                f"{wrong} integers of the WebAssembly module ({variant}) differ from the reference, so nothing is "
                "written. Try another compiler with: pip install -U ziglang, and please report this"
            )
    key = program_sha256 or "unknown"
    described: dict[str, Any] = {
        **_described(program, key, rows),
        **{variant: _base64(modules[variant]) for variant in VARIANTS},
        "weights": _base64(weights),
        "vectors": {
            "photos": len(pixels),
            "pixels": _base64(np.ascontiguousarray(pixels, np.uint8).tobytes()),
            "outputs": _base64(rows["outputs"].astype("<i4").tobytes()),
        },
    }
    text = {
        "program.js": f'(globalThis.p2vitPrograms ??= {{}})["{key}"] = {json.dumps(described)};\n',
        "run.js": asset("run.js"),
        "prepare.js": asset("prepare.js"),
        "index.js": asset("index.js").replace("@KEY@", key),
        "index.d.ts": asset("index.d.ts"),
        "page.js": page_script(),
        "index.html": _page(program, key),
        "package.json": _package(program, key),
        "README.md": _readme(program, key),
    }
    content = {name: value.encode() for name, value in text.items()}
    return WebExport(content, modules, weights, export.plan.arena_bytes)


def page_script() -> str:
    """Return the page's script: modules joined to one script, because browsers load no modules from ``file://``."""
    parts = [_EXPORT.sub("", _IMPORT.sub("", asset(name))) for name in ("run.js", "prepare.js", "page.js")]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def _described(program: IntegerProgram, key: str, rows: Mapping[str, IntArray]) -> dict[str, Any]:
    height, width, channels = program.pixels.shape
    output = program.tensors[program.output]
    pre = program.preprocessing
    return {
        "sha256": key,
        "height": height,
        "width": width,
        "channels": channels,
        "outputs": rows["outputs"].shape[1],
        "features": rows["features"].shape[1],
        "classes": [portable(name) for name in program.classes],
        "exponents": np.broadcast_to(output.exponent, output.shape).reshape(-1).tolist(),
        "preprocessing": pre.model_dump(mode="json")
        | {"scaled_size": list(pre.scaled_size), "tall_first": joins_rows_first()},
    }


def joins_rows_first() -> bool:
    """Return whether the installed Pillow scales the height of a tall photo before its width; older ones never do."""
    rows, columns = np.mgrid[:60, :8]
    photo = Image.fromarray(((rows * 37 + columns * 101) % 256).astype(np.uint8))
    own = photo.resize((3, 7), Image.Resampling.BILINEAR)
    columns_first = photo.resize((3, 60), Image.Resampling.BILINEAR).resize((3, 7), Image.Resampling.BILINEAR)
    return own.tobytes() != columns_first.tobytes()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def source_name(program: IntegerProgram) -> str:
    """Return the name of the program's source model, for titles."""
    return portable(str(program.provenance.get("source", "program")))


def package_name(program: IntegerProgram) -> str:
    """Return a name that npm allows."""
    words = re.findall(r"[a-z0-9]+", source_name(program).lower())
    return "-".join(["p2vit", *words])[:100]


def _page(program: IntegerProgram, key: str) -> str:
    page = asset("index.html")
    for mark, text in (
        ("@TITLE@", source_name(program)),
        ("@SHA256@", key),
        ("@PREPROCESSING@", program.preprocessing.in_words),
    ):
        page = page.replace(mark, html.escape(text))
    return page


def _package(program: IntegerProgram, key: str) -> str:
    package = {
        "name": package_name(program),
        "version": "1.0.0",
        "description": f"{source_name(program)} as an integer program in WebAssembly (p2vit {__version__}, {key[:16]})",
        "type": "module",
        "main": "./index.js",
        "types": "./index.d.ts",
        "exports": {".": {"types": "./index.d.ts", "default": "./index.js"}},
        "files": ["index.js", "index.d.ts", "run.js", "prepare.js", "program.js"],
        "sideEffects": ["./program.js"],
    }
    return json.dumps(package, indent=2, ensure_ascii=True) + "\n"


def _readme(program: IntegerProgram, key: str) -> str:
    height, width, channels = program.pixels.shape
    return f"""# {source_name(program)} in WebAssembly

An integer program of p2vit, {key}. Open `index.html` for a page that classifies photos. It needs no server and no
network.

The folder is also a package for browsers, Node.js and bundlers:

```js
import {{ load, prepare }} from "{package_name(program)}";

const model = await load();
const pixels = prepare(imageData); // {{ data, width, height }} of any size → uint8 RGB [{height}, {width}, {channels}]
const logits = model.run(pixels); // Int32Array
console.log(model.check()); // {{ photos, compared, differing: 0 }}
```

`index.d.ts` has the types. There are three modules: with relaxed SIMD, with SIMD and without. The fastest one that
runs is taken; all return the same integers. A content security policy needs `script-src 'wasm-unsafe-eval'`.
"""


def web_target(folder: Path, overwrite: bool) -> FileSet:
    """Return the set of files that a web export is written to, in a folder of its own.

    Raises:
        P2vitError: The path cannot be a folder.
    """
    return FileSet.filling(folder, "web export", overwrite)


def write_web(export: WebExport, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write the files of an export, all or none.

    Args:
        export: Result of :func:`build_web`.
        folder: Output folder; it is made if it does not exist.
        overwrite: Replace files that p2vit wrote there.

    Returns:
        The files written.

    Raises:
        P2vitError: A file is in the way, or the disk is full.
    """
    web_target(folder, overwrite).write(export.files)
    return [folder / name for name in export.files]
