import json
import os
import sys
import time

import pytest
from click.testing import CliRunner

from p2vit.bench.models import shape_of
from p2vit.bench.peers import PEERS, Peer
from p2vit.bench.run import add_peak, executed_macs, resolve, run_bench
from p2vit.cli.verbs.bench import bench
from p2vit.engine import native
from p2vit.program.format import save
from support.programs import random_program

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


def test_the_summary_says_who_is_faster(monkeypatch):
    monkeypatch.setitem(PEERS, "torch-fp32", lambda *_: Peer(lambda: time.sleep(0.05), "slow"))
    report = run_bench(random_program(), ["torch"], (1,), threads=1, rounds=5)
    ours, row = report["rows"]
    assert ours["ratio_interval"] == [1, 1]
    low, high = row["ratio_interval"]
    assert low <= row["ratio"] <= high
    assert row["p99_ms"] >= row["median_ms"] >= 50
    (sentence,) = report["summary"]
    assert sentence.startswith("At batch 1 p2vit is ")
    assert "times as fast as torch-fp32 (95 % interval" in sentence


def test_a_busy_machine_is_a_warning(monkeypatch):
    for share, warned in ((0.5, 1), (0.05, 0), (None, 0)):
        monkeypatch.setattr("p2vit.bench.run.busy_share", lambda share=share: share)
        report = run_bench(random_program(), [], (1,), threads=1, rounds=2)
        assert report["busy_share"] == share
        assert len(report["notes"]) == warned
    monkeypatch.setattr("p2vit.bench.run.busy_share", lambda: 0.73)
    (note,) = run_bench(random_program(), [], (1,), threads=1, rounds=2)["notes"]
    assert note.startswith("other processes take 73 % of the CPU time")


def test_the_instruction_set_can_be_forced(p2vit, tmp_path):
    save(random_program(), tmp_path / "program")
    common = [
        "bench",
        tmp_path / "program",
        "--against",
        "",
        "--batches",
        "1",
        "--rounds",
        "2",
        "--threads",
        "1",
    ]
    usable = [name for name, reason in native.instruction_sets().items() if not reason]
    answer = p2vit(*common, "--isa", usable[-1], "--json").json
    assert answer["rows"][0]["note"] == f"native, {usable[-1]}"
    refused = p2vit(*common, "--isa", "mmx")
    assert refused.code == 2
    assert "mmx" in refused.err


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
    with pytest.raises(ValueError, match=r"there is no runtime 'tvm'; allowed are openvino, .*torch-bf16"):
        resolve(["tvm"])


def without_nncf(monkeypatch):
    for name in ("onnx", "onnxruntime", "openvino"):
        pytest.importorskip(name)
    monkeypatch.setitem(sys.modules, "nncf", None)


def test_openvino_without_nncf_is_a_warning(monkeypatch, tmp_path):
    without_nncf(monkeypatch)
    report = run_bench(random_program(), ["openvino"], (1, 2), threads=1, rounds=2, cache=tmp_path)
    assert [row["note"] for row in report["rows"] if row["name"] == "openvino-int8"] == ["QDQ (no NNCF)"] * 2
    (note,) = (note for note in report["notes"] if "of the CPU time" not in note)
    assert note.startswith("openvino-int8 runs ONNX Runtime's static QDQ model, which is not how OpenVINO")
    assert note.endswith("To quantize with NNCF: pip install nncf")
    assert list(tmp_path.glob("*qdq*"))


def test_the_warning_is_on_stderr_and_in_the_json(monkeypatch, tmp_path):
    without_nncf(monkeypatch)
    save(random_program(), tmp_path / "program")
    arguments = [str(tmp_path / "program"), "--against", "openvino", "--batches", "1", "--threads", "1"]
    arguments += ["--rounds", "2", "--cache", str(tmp_path), "--json", "--quiet"]
    done = CliRunner().invoke(bench, arguments)
    assert done.exit_code == 0, done.output
    assert "warning: openvino-int8 runs ONNX Runtime's static QDQ model" in done.stderr
    assert sum("static QDQ" in note for note in json.loads(done.stdout)["notes"]) == 1


def test_a_peer_that_is_not_installed(p2vit, monkeypatch, tmp_path):
    pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    save(random_program(), tmp_path / "program")
    done = p2vit("bench", tmp_path / "program", "--against", "openvino-fp32", "--cache", tmp_path)
    assert done.code == 2
    assert "Omit that runtime, or: pip install openvino" in done.err


def test_what_peers_print_is_not_on_standard_output(monkeypatch, capfd, tmp_path):
    """NNCF shows its progress there while it quantizes; OpenVINO's libraries write past Python."""

    def talkative(*_):
        print("Statistics collection ━━━━ 100%")
        os.write(1, b"written past Python\n")
        return Peer(lambda: os.write(1, b"and while it runs\n"), "talks")

    monkeypatch.setitem(PEERS, "openvino-int8", talkative)
    capfd.readouterr()
    report = run_bench(random_program(), ["openvino-int8"], [1], 1, 2, tmp_path)
    caught = capfd.readouterr()
    assert report["rows"][1]["note"] == "talks"
    assert caught.out == ""
    for line in ("Statistics", "written past Python", "and while it runs"):
        assert line in caught.err


def test_the_command(p2vit, tmp_path):
    save(random_program(), tmp_path / "program")
    common = [tmp_path / "program", "--against", "", "--batches", "1", "--threads", "1", "--rounds", "2"]
    result = p2vit("bench", *common, "--json", "--profile")
    assert result.code == 0, result.err
    assert set(result.json["rows"][0]) >= {"name", "batch", "median_ms", "ratio"}
    assert all("of the CPU time" in note for note in result.json["notes"])
    assert result.json["summary"] == []
    assert "p2vit" in p2vit("bench", *common).out
    for wrong in (["--batches", "0"], ["--against", "tvm"], ["--threads", "0"]):
        assert p2vit("bench", *common, *wrong).code == 2
