"""``p2vit run``: what a program's output is called, and what is given by name."""

import os
import threading

import numpy as np
import pytest
from PIL import Image

from p2vit.program.format import save
from support.forging import SMALL
from support.programs import random_program


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.fixture
def headless(tmp_path):
    pytest.importorskip("torch")
    from p2vit.quant.api import quantize
    from support.tiny import float_model, smooth_photos

    save(quantize(float_model(num_classes=0), [smooth_photos((8, 12))]).program, tmp_path / "headless")
    return tmp_path / "headless"


def test_a_program_without_a_head_names_no_class(p2vit, headless, photo):
    found = p2vit("run", headless, photo, "--json").json
    (row,) = found["outputs"]
    assert (found["output_is"], row["label"], row["index"], len(row["logits"])) == ("feature", None, None, 24)
    text = p2vit("run", headless, photo).out
    assert f"{photo}: a feature of 24 numbers\n" in text
    assert "ahead by" not in text
    answer = p2vit("run", headless, photo, "--class-names", "a,b")
    assert answer.code == 2
    assert (
        "--class-names: the model has no head, so its output is a feature and has no classes to name"
        in answer.err
    )


def test_one_output_is_a_number(p2vit, photo, tmp_path):
    program = random_program(**{**SMALL, "classes": 1})
    save(program, tmp_path / "p")
    found = p2vit("run", tmp_path / "p", photo, "--json").json
    (row,) = found["outputs"]
    assert (found["output_is"], row["label"], row["index"], len(row["logits"])) == ("number", None, None, 1)
    text = p2vit("run", tmp_path / "p", photo).out
    value = program.tensors[program.output].real(np.array(row["logits"]))[0]
    exponent = found["logit_exponent"]
    assert f"{photo}: {value:g} = {row['logits'][0]} × 2^{exponent}\n" in text
    assert "one output: the value of a regression, or the logit of a binary classifier" in text
    assert "ahead by" not in text
    # No accuracy is made up of it either.
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.open(photo).save(tmp_path / "data" / name / "1.png")
    answer = p2vit("eval", tmp_path / "p", "--data", tmp_path / "data", "--no-float", "--json").json
    assert (answer["top1"], answer["agreement"]) == (None, None)
    assert (
        "the model has one output, which is a number and no class, so there is no accuracy" in answer["notes"]
    )


def test_classes_without_names_are_numbers(p2vit, photo, tmp_path):
    save(random_program(**SMALL), tmp_path / "p")
    (row,) = p2vit("run", tmp_path / "p", photo, "--json").json["outputs"]
    assert row["label"] == str(row["index"])
    assert "ahead by" in p2vit("run", tmp_path / "p", photo).out


@pytest.mark.parametrize("option", ["--class-names", "--class-index"])
def test_names_from_a_file(p2vit, photo, tmp_path, option):
    save(random_program(**SMALL), tmp_path / "p")
    (tmp_path / "c.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\nn01484850 shark\n")
    (row,) = p2vit("run", tmp_path / "p", photo, option, tmp_path / "c.txt", "--json").json["outputs"]
    assert row["label"] == ["tench, Tinca tinca", "goldfish", "shark"][row["index"]]


def test_names_on_the_command_line(p2vit, photo, tmp_path):
    save(random_program(**SMALL), tmp_path / "p")
    (row,) = p2vit("run", tmp_path / "p", photo, "--class-names", "ant, bee,cat", "--json").json["outputs"]
    assert row["label"] == ("ant", "bee", "cat")[row["index"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--class-names", "a,b"),
            "--class-names a,b: names 2 classes, but the model has 3 outputs; give one name per",
        ),
        (
            ("--class-names", "ant"),
            "--class-names ant: no such file; give a file, or names between commas: cat,dog",
        ),
        (("--class-names", "a,b,c", "--class-index", "x"), "say the same; give one of them"),
        (("--class-index", "nowhere.txt"), "nowhere.txt: no such class-index file"),
        (
            ("--max-pixels", "63"),
            "has 64 pixels, but at most 63 are allowed; if there is enough memory, allow more with --max-pixels",
        ),
        (("--max-pixels", "0"), "0 is not in the range"),
    ],
)
def test_refusals(p2vit, photo, tmp_path, words, message):
    save(random_program(**SMALL), tmp_path / "p")
    answer = p2vit("run", tmp_path / "p", photo, *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_names_that_quantize_is_given_are_in_the_program(p2vit, photo, tmp_path):
    pytest.importorskip("sklearn")
    words = ["nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    arguments = ("quantize", "digits", "--data", "digits", "--calib-images", 8, "-o", tmp_path / "p")
    assert p2vit(*arguments, "--class-names", ",".join(words)).code == 0
    assert p2vit("inspect", tmp_path / "p", "--json").json["class_names"] == words
    assert p2vit("run", tmp_path / "p", photo, "--json").json["outputs"][0]["label"] in words
    answer = p2vit(*arguments, "--overwrite", "--class-names", "a,b")
    assert (answer.code, answer.out) == (2, "")
    assert "names 2 classes, but the model has 10 outputs" in answer.err


def test_run_and_eval_see_the_same_photos(p2vit, digits_program, photo, tmp_path):
    data = tmp_path / "data"
    (data / "one").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    for place in (data / "one" / "1.png", data / "one" / ".2.png", tmp_path / "store" / "3.png"):
        Image.open(photo).save(place)
    (data / "two").symlink_to(tmp_path / "store")
    (data / "one" / "up").symlink_to("..")
    (data / "notes.txt").write_text("x")
    ran = p2vit("run", digits_program, data, "--json")
    assert [row["file"] for row in ran.json["outputs"]] == [
        str(data / "one" / "1.png"),
        str(data / "two" / "3.png"),
    ]
    assert p2vit("eval", digits_program, "--data", data, "--no-float", "--json").json["images"] == 2
    assert f"{data}: skipped 1 file that is not a photo: .txt (1)" in ran.err
    assert ran.json["notes"] == [line for line in ran.err.splitlines() if line.startswith(str(data))]


def test_things_given_by_name_that_are_no_photos(p2vit, digits_program, photo, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    for name, reason in (
        (tmp_path / "pipe.png", "a named pipe, not a photo"),
        (tmp_path / "gone.png", "a broken link to nowhere.png"),
        ("/dev/null", "a device, not a photo"),
    ):
        answer = p2vit("run", digits_program, name)
        assert (answer.code, answer.out) == (2, "")
        assert f"{name}: {reason}" in answer.err
    answer = p2vit("run", digits_program, photo, tmp_path / "pipe.png")
    assert answer.code == 0
    assert "warning: skipped" in answer.err


@pytest.mark.parametrize("option", ["--labels", "--class-index"])
def test_a_named_pipe_makes_nobody_wait(p2vit, digits_program, photo_folder, tmp_path, option):
    os.mkfifo(tmp_path / "pipe")
    answer = p2vit("eval", digits_program, "--data", photo_folder, option, tmp_path / "pipe")
    assert answer.code == 2
    assert "pipe: is not a regular file, so it cannot be read as a" in answer.err


def test_a_pipe_of_the_shell_is_read(p2vit, digits_program, photo_folder):
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, b"0,3\n1,4\n"), os.close(writer)))
    thread.start()
    answer = p2vit("eval", digits_program, "--data", photo_folder, "--labels", f"/dev/fd/{reader}", "--json")
    thread.join()
    os.close(reader)
    assert answer.code == 0, answer.err
    assert [row["name"] for row in answer.json["per_class"]] == ["3", "4"]
