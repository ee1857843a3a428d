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
    assert "no design fits the budget" in result.out


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


def test_every_machine_on_the_front_can_be_generated(p2vit, digits_program):
    answer = p2vit(
        "explore", digits_program, "--hw", "rtl-small", "--points", "60", "--workers", "1", "--json"
    ).json
    assert answer["pareto"]
    for point in answer["pareto"]:
        sizes = [
            f"--set={name}={size}" for name, size in point["parameters"].items() if name != "weight_bits"
        ]
        check = p2vit("rtl", digits_program, "--hw", "rtl-small", *sizes, "--dry-run", "--json")
        assert check.code == 0, check.err
        assert check.json["cycles"] > 0


def test_a_program_is_explored_at_its_own_bits(p2vit, digits_program):
    answer = p2vit("explore", digits_program, "--points", "20", "--workers", "1", "--json")
    assert answer.code == 0, answer.err
    assert all("weight_bits" not in point["parameters"] for point in answer.json["pareto"])
    assert "its weight widths are kept" in answer.err
    point = answer.json["pareto"][0]
    changes = [f"--set={name}={value}" for name, value in point["parameters"].items()]
    alone = p2vit("simulate", digits_program, *changes, "--json").json
    assert alone["latency_ms"] == point["figures"]["latency_ms"]


def test_a_size_that_no_generated_machine_has(p2vit, tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text("format: 1\nparameters: {line: [4], lanes: [3]}\n")
    answer = p2vit("explore", "digits", "--hw", "rtl", "--space", space)
    assert answer.code == 2
    assert "line: no such size; did you mean 'lines'?" in answer.err
    assert "it must be even" in answer.err


def test_a_program_has_its_own_bits(p2vit, digits_program, tmp_path):
    log = tmp_path / "log.jsonl"
    words = ("explore", digits_program, "--points", 120, "--workers", 1, "--resume", log, "--json")
    first = p2vit(*words)
    assert first.code == 0, first.err
    assert "its weight widths are kept" in first.err
    assert all("weight_bits" not in point["parameters"] for point in first.json["pareto"])
    again = p2vit(*words).json
    assert again["pareto"] == first.json["pareto"]
    assert again["resumed"] == again["distinct"]


@pytest.mark.parametrize("words", [("--points", "0"), ("--seed", "-1"), ("--points", "1e3")])
def test_numbers_are_checked(p2vit, words):
    assert p2vit("explore", "digits", *words).code == 2
