"""Web exports of every kind of program: the modules return the reference's integers, and the files say so."""

import base64
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import MissingPackageError, P2vitError
from p2vit.export.run import noise_pixels, run_export
from p2vit.export.web import check, write
from p2vit.export.web.compile import VARIANTS
from p2vit.export.web.write import build_web, package_name, page_script, write_web
from p2vit.text import portable
from support.programs import random_pixels, random_program, windowed_program
from support.tiers import extended

needs_packages = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ziglang", "wasmtime"))), reason="pip install 'p2vit[web]'"
)
node = shutil.which("node")
needs_node = pytest.mark.skipif(node is None, reason="no Node.js; on Debian: apt-get install nodejs")

PROGRAMS = {
    "plain": lambda: random_program(),
    "W4 log2, odd sizes": lambda: random_program(
        weight_bits=4, form="log2", image=(20, 28), dim=45, heads=3, mlp=37, classes=1
    ),
    # Rows of 16 and 32 bytes take the byte products of relaxed SIMD, heads of 16 its attention x values.
    "rows of 32": lambda: random_program(dim=32, heads=2, mlp=64),
    "windows": lambda: windowed_program(),
}


@pytest.fixture(scope="module")
def exports():
    made = {}

    def make(name):
        if name not in made:
            program = PROGRAMS[name]()
            made[name] = (
                program,
                build_web(program, photos(program), ReferenceExecutor(program), program_sha256="ab" * 32),
            )
        return made[name]

    return make


def photos(program):
    shape = (1, *program.pixels.shape)
    ends = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    return np.concatenate([random_pixels(program, 2), *ends])


@needs_packages
@pytest.mark.parametrize("name", extended(PROGRAMS, quick=["rows of 32"]))
def test_modules_that_were_compared_with_the_reference(exports, name):
    _, export = exports(name)
    assert set(export.modules) == set(VARIANTS)
    assert all(code.startswith(b"\0asm") for code in export.modules.values())


@needs_packages
@pytest.mark.parametrize("deterministic", [False, True], ids=["this machine's", "signed"])
def test_relaxed_byte_products_in_every_form(exports, deterministic):
    program, export = exports("rows of 32")
    pixels = photos(program)
    expected = ReferenceExecutor(program).run(pixels)
    outputs, features = (
        expected[name].reshape(len(pixels), -1) for name in (program.output, program.feature)
    )
    sizes = (program.pixels.shape, outputs.shape[1], features.shape[1])
    module = check.Module(export.modules["relaxed"], export.weights, *sizes, deterministic=deterministic)
    assert module.byte_products == 1 or not deterministic
    for photo, logits, feature in zip(pixels, outputs, features, strict=True):
        found = module.run(photo)
        assert np.array_equal(found["outputs"], logits)
        assert np.array_equal(found["features"], feature)


@pytest.mark.extended
@needs_packages
def test_a_module_with_other_integers_is_not_written(monkeypatch, tmp_path):
    run = check.Module.run

    def wrong(self, pixels):
        found = run(self, pixels)
        return found | {"outputs": found["outputs"] + 1}

    monkeypatch.setattr(check.Module, "run", wrong)
    program = random_program(depth=1)
    with pytest.raises(
        P2vitError, match=r"integers of the WebAssembly module \(relaxed\) differ from the reference"
    ):
        run_export(program, "web", tmp_path / "web", pixels=noise_pixels(program, 1))
    assert not (tmp_path / "web").exists()


@pytest.mark.parametrize("package", ["ziglang", "wasmtime"])
def test_a_missing_package_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    if package == "wasmtime":
        with pytest.raises(
            MissingPackageError, match=r"needs the package 'wasmtime'\. Install .*p2vit\[web\]"
        ):
            check.Module(b"", b"", (1, 1, 3), 1, 1)
        return
    program = random_program(depth=1)
    with pytest.raises(
        MissingPackageError, match=r"needs the package 'ziglang'\. Install it with: .*p2vit\[web\]"
    ):
        build_web(program, photos(program), ReferenceExecutor(program))


@needs_packages
@needs_node
def test_the_package_runs_in_node(exports, tmp_path):
    program, export = exports("rows of 32")
    write_web(export, tmp_path / "node_modules" / "it")
    pixels = random_pixels(program, 1)
    (tmp_path / "photo.bin").write_bytes(pixels.tobytes())
    (tmp_path / "main.mjs").write_text("""
import { readFileSync } from "node:fs";
import { load } from "it";
const pixels = new Uint8Array(readFileSync("photo.bin"));
const said = {};
for (const variant of [undefined, "simd", "scalar"]) {
  const model = await load({ variant });
  const { outputs, features } = model.runWithFeatures(pixels);
  said[variant ?? "default"] = [model.variant, model.check(), Array.from(outputs), Array.from(features)];
  if (Array.from(model.run(pixels)).join() !== Array.from(outputs).join()) throw new Error("run differs");
}
const model = await load();
const refused = (act) => { try { act(); } catch (error) { return `${error.name}: ${error.message}`; } };
said.short = refused(() => model.run(pixels.subarray(1)));
said.floats = refused(() => model.run(new Float32Array(pixels.length)));
said.variant = await load({ variant: "fast" }).catch((error) => error.message);
console.log(JSON.stringify(said));
""")
    done = subprocess.run([node, "main.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    expected = ReferenceExecutor(program).run(pixels)
    for name in ("default", "simd", "scalar"):
        variant, found, outputs, features = said[name]
        assert name in ("default", variant)
        assert found == {"photos": 4, "compared": 4 * len(outputs), "differing": 0}
        assert outputs == expected[program.output].reshape(-1).tolist()
        assert features == expected[program.feature].reshape(-1).tolist()
    size = pixels.size
    assert said["short"].startswith(
        f"RangeError: pixels has {size - 1} bytes, but must have {size} bytes, RGB ["
    )
    assert said["floats"].startswith(f"TypeError: pixels must be a Uint8Array of {size} bytes, RGB [")
    assert said["variant"] == 'variant is "fast"; allowed are relaxed, simd, scalar'


@needs_packages
def test_the_check_sees_one_wrong_integer(exports, tmp_path):
    if node is None:
        pytest.skip("no Node.js")
    _, export = exports("rows of 32")
    write_web(export, tmp_path / "it")
    path = tmp_path / "it" / "program.js"
    text = path.read_text()
    outputs = re.search(r'"outputs": "([^"]+)"', text)[1]
    raw = bytearray(base64.b64decode(outputs))
    raw[0] ^= 1
    path.write_text(text.replace(outputs, base64.b64encode(raw).decode()))
    main = 'import { load } from "./it/index.js"; console.log((await load()).check().differing);'
    (tmp_path / "main.mjs").write_text(main)
    assert subprocess.check_output([node, "main.mjs"], cwd=tmp_path, text=True).strip() == "1"


@pytest.mark.extended
@needs_packages
def test_the_command_says_what_it_wrote(tmp_path):
    program = random_program(depth=1)
    report = run_export(program, "web", tmp_path / "web", pixels=noise_pixels(program, 2))
    assert report["max_abs_diff"] == 0
    assert {"weight_bytes", "relaxed_bytes", "simd_bytes", "scalar_bytes", "arena_bytes"} <= set(report)
    assert {path.name for path in (tmp_path / "web").iterdir()} >= {"index.html", "index.js", "index.d.ts"}
    with pytest.raises(P2vitError, match="--overwrite"):
        run_export(program, "web", tmp_path / "web", pixels=noise_pixels(program, 2))


@pytest.mark.extended
@needs_packages
def test_names_from_outside_stay_text(monkeypatch):
    program = random_program(depth=1)
    evil = '</title><script>alert(1)</script> "\udc80\u2028 Ünïcode'
    program = replace(
        program,
        provenance={"source": evil},
        classes=tuple([evil] * 10)[: program.tensors[program.output].shape[-1]],
    )
    assert re.fullmatch(r"[a-z0-9-]+", package_name(program))
    export = build_web(program, random_pixels(program, 1), ReferenceExecutor(program))
    assert b"<script>alert" not in export.files["index.html"]
    described = json.loads(export.files["program.js"].decode().partition(" = ")[2].rstrip(";\n"))
    assert described["classes"] == [portable(evil)] * len(described["classes"])
    assert json.loads(export.files["package.json"])["name"] == package_name(program)


def test_the_page_has_no_modules_and_loads_nothing_from_elsewhere():
    script = page_script()
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    assert not re.search(r"https?://", script + write.asset("index.html"))
