"""Feature maps in every export format: the same numbers under their own names."""

import json
import subprocess

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.export.c.compile import count_differences
from p2vit.export.c.write import build_c, write_c
from p2vit.export.run import run_export
from p2vit.export.vectors import read_vectors
from support.dense import DENSE, dense_photos, dense_program
from support.tiers import extended

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", extended(DENSE, quick=["registers"]))
def test_onnx_integer_has_an_output_per_map(name, tmp_path):
    program, pixels = dense_program(name), dense_photos(name)
    file = tmp_path / "model.onnx"
    report = run_export(program, "onnx-integer", file, pixels=pixels)
    assert report["max_abs_diff_maps"] == {each.name: 0 for each in program.maps}
    session = onnxruntime.InferenceSession(str(file))
    assert [out.name for out in session.get_outputs()] == ["logits", *(each.name for each in program.maps)]
    expected = ReferenceExecutor(program).run(pixels)
    for each in program.maps:
        (found,) = session.run([each.name], {"pixels": pixels})
        channels = program.tensors[each.name].shape[-1]
        assert found.shape == (len(pixels), *each.grid, channels)
        assert found.dtype == np.int8
        assert np.array_equal(found, each.spatial(expected[each.name]))
    told = json.loads(session.get_modelmeta().custom_metadata_map["p2vit.maps"])
    assert told[program.maps[0].name]["exponent"] == program.tensors[program.maps[0].name].exponent.tolist()


@pytest.mark.parametrize("name", extended(DENSE, quick=["registers"]))
def test_onnx_qdq_has_the_real_values(name, tmp_path):
    program, pixels = dense_program(name), dense_photos(name)
    run_export(program, "onnx-qdq", tmp_path / "model.onnx", pixels=pixels)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    integers = ReferenceExecutor(program).run(pixels)
    for each in program.maps:
        (found,) = session.run([each.name], {"pixels": pixels})
        real = each.spatial(program.tensors[each.name].real(integers[each.name]))
        assert found.shape == real.shape
        assert np.abs(found - real).mean() < 0.1 * np.abs(real).mean()


@pytest.mark.parametrize("name", extended(DENSE, quick=["Swin"]))
def test_c_leaves_the_maps_in_its_arena(name, tmp_path):
    program, pixels = dense_program(name), dense_photos(name)
    export = build_c(program, pixels, ReferenceExecutor(program))
    write_c(export, tmp_path / "c")
    strict = "-O1 -Werror -pedantic -fsanitize=address,undefined -fno-sanitize-recover=all"
    done = subprocess.run(
        ["make", "-s", "check", f"CFLAGS={strict}"],
        cwd=tmp_path / "c",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = sum(np.prod(program.tensors[name].shape) for name in (program.output,))
    numbers += sum(np.prod(each.grid) * program.tensors[each.name].shape[-1] for each in program.maps)
    assert f"{len(pixels) * numbers} numbers compared, 0 differ" in done.stdout
    header = (tmp_path / "c" / "p2vit_model.h").read_text()
    begin = program.maps[0].name.upper().replace(".", "_")
    assert f"#define P2VIT_{begin}_ROWS {program.maps[0].grid[0]}\n" in header


def test_the_check_in_c_sees_a_wrong_number_of_a_map():
    program, pixels = dense_program("registers"), dense_photos("registers")
    export = build_c(program, pixels, ReferenceExecutor(program))
    text = export.files["check.c"].decode()
    start = text.index("map_patch_tokens[PHOTOS]")
    brace = text.index("{{", start) if "{{" in text[start:] else text.index("{", text.index("{", start) + 1)
    end = text.index(",", brace)
    number = int(text[brace + 1 : end].lstrip("{"))
    changed = text[: brace + 1] + str(number ^ 1) + text[end:]
    files = {**export.files, "check.c": changed.encode()}
    assert (
        count_differences(type(export)(export.plan, files, export.weight_bytes, export.constant_bytes)) == 1
    )


def test_vectors_say_which_tensors_are_maps(tmp_path):
    program, pixels = dense_program("Swin"), dense_photos("Swin", 1)
    run_export(program, "vectors", tmp_path / "vectors", pixels=pixels)
    manifest, arrays = read_vectors(tmp_path / "vectors")
    assert manifest["maps"] == [
        {"name": each.name, "grid": list(each.grid), "first": each.first} for each in program.maps
    ]
    assert all(each.name in arrays for each in program.maps)
