import json

import pytest
from click.testing import CliRunner

from p2vit.cli.bench import bench
from p2vit.engine import native
from p2vit.engine.bench import executed_macs, resolve, run_bench
from p2vit.engine.bench_models import shape_of
from p2vit.program.format import save
from programs import random_program

pytestmark = pytest.mark.skipif(not native.instruction_sets(), reason="the native engine was not built")


def test_rows_of_our_own():
    report = run_bench(random_program(), [], (1, 2), threads=1, rounds=3, profile=True)
    assert [(row["name"], row["batch"], row["ratio"]) for row in report["rows"]] == [
        ("p2vit", 1, 1),
        ("p2vit", 2, 1),
    ]
    assert all(0 < row["fast_ms"] <= row["median_ms"] for row in report["rows"])
    assert sum(step["share"] for step in report["profile"]) == pytest.approx(1, abs=0.01)


def test_the_shape_is_the_programs():
    shape = shape_of(random_program(prefix=3, classes=7))
    assert (shape.image, shape.patch, shape.dim, shape.depth, shape.heads) == ((8, 12), 4, 48, 2, 3)
    assert (shape.mlp, shape.prefix, shape.classes, shape.tokens) == (80, 3, 7, 9)


def test_rows_that_nobody_reads_are_not_counted():
    program = random_program()
    assert executed_macs(program) < program.macs
    every = random_program(pool="mean", prefix=0)
    assert executed_macs(every) == every.macs


def test_peers_are_named():
    assert resolve(["openvino", "torch-bf16"]) == ["openvino-int8", "torch-bf16"]
    with pytest.raises(ValueError, match=r"unknown peer 'tvm'; allowed are openvino, .*torch-bf16"):
        resolve(["tvm"])


def test_the_command(tmp_path):
    save(random_program(), tmp_path / "program")
    run = CliRunner().invoke
    common = [str(tmp_path / "program"), "--against", "", "--batches", "1", "--threads", "1", "--rounds", "2"]
    result = run(bench, [*common, "--json", "--profile"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["rows"][0]) >= {"name", "batch", "median_ms", "ratio"}
    assert "p2vit" in run(bench, common).stdout
    for wrong in (["--batches", "0"], ["--against", "tvm"], ["--threads", "0"]):
        assert run(bench, [*common, *wrong]).exit_code == 2
