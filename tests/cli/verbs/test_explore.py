import json

import pytest
from click.testing import CliRunner

from p2vit.cli.verbs.explore import explore

pytest.importorskip("optuna")


def run(*arguments):
    return CliRunner().invoke(explore, ["digits", "--points", "60", "--workers", "1", *arguments])


def test_json_is_one_object_with_the_contract_keys():
    result = run("--json", "--budget", "area_mm2=3")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["points"] == 60
    assert answer["budget"] == {"area_mm2": 3.0}
    assert all(point["figures"]["area_mm2"] <= 3 for point in answer["pareto"])


def test_objectives_from_the_command_line():
    answer = json.loads(run("--json", "--objective", "latency_ms", "--objective", "power_mw").stdout)
    assert answer["objectives"] == ["latency_ms", "power_mw"]


def test_resumes(tmp_path):
    log = str(tmp_path / "log.jsonl")
    first = json.loads(run("--json", "--resume", log).stdout)
    again = json.loads(run("--json", "--resume", log).stdout)
    assert again["pareto"] == first["pareto"]
    assert again["resumed"] == again["distinct"]


def test_nothing_within_budget_is_1():
    result = run("--budget", "area_mm2=0.0001")
    assert result.exit_code == 1
    assert "nothing fits the budget" in result.stdout


def test_everything_wrong_is_said_at_once():
    result = run(
        "--budget", "area=3", "--budget", "power_mw=low", "--budget", "dsps=-1", "--objective", "speed"
    )
    assert result.exit_code == 2
    assert "4 problems" in result.stderr
    assert "did you mean 'area_mm2'" in result.stderr
    assert "'low' is not a number" in result.stderr


def test_no_points():
    result = CliRunner().invoke(explore, ["digits", "--points", "0"])
    assert result.exit_code == 2


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
    assert {point["parameters"]["weight_bits"] for point in answer.json["pareto"]} == {8}


def test_a_size_that_no_generated_machine_has(p2vit, tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text("format: 1\nparameters: {line: [4], lanes: [3]}\n")
    answer = p2vit("explore", "digits", "--hw", "rtl", "--space", space)
    assert answer.code == 2
    assert "line: no such size; did you mean 'lines'?" in answer.err
    assert "it must be even" in answer.err
