import json

import pytest

pytest.importorskip("optuna")


@pytest.fixture
def run(p2vit):
    return lambda *arguments: p2vit("explore", "digits", "--points", "60", "--workers", "1", *arguments)


def test_json_is_one_object_with_the_contract_keys(run):
    result = run("--json", "--budget", "area_mm2=3")
    assert result.code == 0
    answer = json.loads(result.out)
    assert answer["points"] == 60
    assert answer["budget"] == {"area_mm2": 3.0}
    assert all(point["figures"]["area_mm2"] <= 3 for point in answer["pareto"])


def test_objectives_from_the_command_line(run):
    answer = json.loads(run("--json", "--objective", "latency_ms", "--objective", "power_mw").out)
    assert answer["objectives"] == ["latency_ms", "power_mw"]


def test_resumes(run, tmp_path):
    log = str(tmp_path / "log.jsonl")
    first = json.loads(run("--json", "--resume", log).out)
    again = json.loads(run("--json", "--resume", log).out)
    assert again["pareto"] == first["pareto"]
    assert again["resumed"] == again["distinct"]


def test_nothing_within_budget_is_1(run):
    result = run("--budget", "area_mm2=0.0001")
    assert result.code == 1
    assert "nothing fits the budget" in result.out


def test_everything_wrong_is_said_at_once(run):
    result = run(
        "--budget", "area=3", "--budget", "power_mw=low", "--budget", "dsps=-1", "--objective", "speed"
    )
    assert result.code == 2
    assert "4 problems" in result.err
    assert "did you mean 'area_mm2'" in result.err
    assert "'low' is not a number" in result.err


def test_no_points(p2vit):
    result = p2vit("explore", "digits", "--points", "0")
    assert result.code == 2
