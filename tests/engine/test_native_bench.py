import json

import pytest
from click.testing import CliRunner

from p2vit.cli.bench import bench
from p2vit.engine import native
from p2vit.engine.bench import add_peak, executed_macs, resolve, run_bench
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
    ours = [row for row in report["rows"] if "peak_gmacs" in row]
    assert len({row["peak_gmacs"] for row in ours}) <= 1  # one machine, one rate
    assert all(0 < row["peak_share"] <= row["fast_peak_share"] < 1 for row in ours)
    assert sum(step["share"] for step in report["profile"]) == pytest.approx(1, abs=0.01)


def test_shares_are_of_the_best_burst():
    rows = [{"gmacs": 200.0, "fast_gmacs": 300.0, "peak_gmacs": 250.0}, {"name": "a peer"}]
    add_peak(rows, 400.0)
    assert rows[0]["peak_gmacs"] == 400
    assert (rows[0]["peak_share"], rows[0]["fast_peak_share"]) == (0.5, 0.75)
    assert rows[1] == {"name": "a peer"}


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
