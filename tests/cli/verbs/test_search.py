import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from p2vit.cli.verbs.search import search
from p2vit.errors import P2vitError
from p2vit.program.format import load, program_sha256
from p2vit.workflows.search import parse_widths, run_search

SMALL = {"calib_images": 4, "held_out": 2, "population": 3, "generations": 1, "threads": 2}
OPTIONS = [
    "--calib-images",
    "4",
    "--held-out",
    "2",
    "--population",
    "3",
    "--generations",
    "1",
    "--threads",
    "2",
]


def test_it_writes_a_program_with_the_mix_and_says_what_it_did(tmp_path):
    out = tmp_path / "mixed"
    report = run_search("digits", "digits", out, budget="average-bits=6", **SMALL)
    assert {"bits_per_layer", "budget", "cost", "file", "sqnr_db"} <= set(report)
    assert report["cost"] <= 6 + 1e-9
    assert report["sqnr_db"] == max(each["sqnr_db"] for each in report["finalists"])
    assert report["finalists"][0]["bits"] == "searched"
    assert (out / "sensitivity.json").is_file()
    program = load(out)
    assert program_sha256(program) == report["program_sha256"]
    widths = {
        node.name: node.operator.weight_bits
        for node in program.nodes
        if node.name in report["bits_per_layer"]
    }
    assert widths == report["bits_per_layer"]
    assert json.loads((out / "search.json").read_text())["bits_per_layer"] == report["bits_per_layer"]
    assert "# digits, mixed widths, as an integer program" in (out / "README.md").read_text()
    assert len((tmp_path / "mixed.search.jsonl").read_text().splitlines()) == report["candidates"] + 1


@pytest.mark.extended
def test_the_same_command_gives_the_same_program(tmp_path):
    hashes = {
        run_search("digits", "digits", tmp_path / name, budget="bytes=200k", fine=False, **SMALL)[
            "program_sha256"
        ]
        for name in ("a", "b")
    }
    assert len(hashes) == 1


def test_json_on_stdout(tmp_path):
    command = ["digits", "--data", "digits", "--budget", "average-bits=5", "--no-fine", "--json", *OPTIONS]
    result = CliRunner().invoke(search, [*command, "-o", str(tmp_path / "p")])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["budget"] == {"name": "average-bits", "limit": 5.0}


@pytest.mark.parametrize("text", ["", "4,9", "four", "4;8", "1"])
def test_widths_are_checked(text):
    with pytest.raises(P2vitError, match="write widths from 2 to 8"):
        parse_widths(text)
    assert parse_widths("8, 4,4") == (4, 8)


def test_an_infeasible_budget_is_refused_before_photos_are_read(tmp_path):
    with pytest.raises(P2vitError, match="smallest feasible budget is average-bits=4"):
        run_search("digits", str(tmp_path / "none"), tmp_path / "p", budget="average-bits=3.5", **SMALL)
    assert not (tmp_path / "p").exists()


def test_an_existing_program_is_kept(tmp_path):
    run_search("digits", "digits", tmp_path / "p", budget="average-bits=6", fine=False, **SMALL)
    with pytest.raises(P2vitError, match="exists already"):
        run_search("digits", "digits", tmp_path / "p", budget="average-bits=6", **SMALL)


def test_few_photos_are_shared_and_one_is_not_enough(tmp_path):
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    report = run_search("digits", str(tmp_path), tmp_path / "p", budget="average-bits=6", fine=False, **SMALL)
    assert report["calibration_images"] == 2
    for index in (1, 2):
        (tmp_path / f"{index}.png").unlink()
    with pytest.raises(P2vitError, match="at least 2 photos"):
        run_search("digits", str(tmp_path), tmp_path / "q", budget="average-bits=6", **SMALL)


def test_a_method_without_an_integer_program_is_refused_at_once(tmp_path):
    with pytest.raises(P2vitError, match="have no integer program"):
        run_search("digits", "digits", tmp_path / "p", budget="average-bits=6", method="paper", **SMALL)


@pytest.mark.extended
def test_a_budget_of_an_accelerator(tmp_path):
    command = [
        "digits",
        "--data",
        "digits",
        "--budget",
        "energy-mj=0.006",
        "--hw",
        "edge",
        "--json",
        *OPTIONS,
    ]
    result = CliRunner().invoke(search, [*command, "-o", str(tmp_path / "p")])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["budget"] == {"name": "energy-mj", "limit": 0.006, "hardware": "edge"}
    assert report["cost"] <= 0.006
    assert set(report["bits_per_layer"].values()) == {4, 8}


def test_a_budget_of_the_accelerator_takes_linear_codes_and_others_choose(tmp_path):
    """The modelled cost depends on the form of the softmax codes, so it is fixed before calibration."""
    run_search(
        "digits", "digits", tmp_path / "a", budget="latency-ms=1", hardware="edge", **SMALL, fine=False
    )
    assert load(tmp_path / "a").provenance["method"]["softmax"] == "linear"
    run_search("digits", "digits", tmp_path / "b", budget="average-bits=6", **SMALL, fine=False)
    assert load(tmp_path / "b").provenance["method"]["softmax"] == "auto"
