import json
import re

from p2vit.program.audit import audit
from p2vit.report.page import render, report_data
from p2vit.report.peers import PEERS
from p2vit.workflows.plain import to_json
from support.programs import random_program

PROGRAM = random_program()
EVALUATION = {
    "images": 10, "top1": 85.9, "top1_float": 86.0, "agreement": 99.0, "sqnr_db": 25.1, "data": "elpv",
    "per_class": [{"name": "<b>", "images": 4, "top1": 50.0, "top1_float": None}],
    "confusion": [[3, 1], [0, 6]], "classes": ["<b>", "good"], "notes": ["a note"],
    "skipped": [{"file": "x.png", "reason": "x.png: damaged"}],
}  # fmt: skip
QUANTIZE = {
    "bits": "w8a8", "method": "p2vit", "seconds": 20.0, "calibration_images": 32,
    "blocks": [{"name": "blocks.0", "local_sqnr_db": 30.0, "cumulative_sqnr_db": 29.0}],
}  # fmt: skip


def page(**parts):
    return render(json.loads(to_json(report_data(PROGRAM, **parts))))


def test_the_page_shows_everything():
    text = page(quantize=QUANTIZE, evaluation=EVALUATION)
    for expected in (
        "85.90 %",
        "99.00 %",
        "25.10 dB",
        "float operations",
        "Where the error arises",
        "a note",
    ):
        assert expected in text
    assert "x.png: damaged" in text


def test_the_page_says_how_far_chance_moves_the_figures():
    assert "intervals" not in page(evaluation=EVALUATION)  # an older file has none
    more = {
        "top1_interval": [80.1, 90.2],
        "top1_float_interval": [80.3, 90.4],
        "agreement_interval": [97.5, 99.6],
        "mcnemar": {"program_only": 5, "float_only": 3, "p_value": 0.7266},
    }
    text = page(evaluation=EVALUATION | more)
    for expected in ("80.10 to 90.20 %", "80.30 to 90.40 %", "97.50 to 99.60 %", "p = 0.7266", "on 5 photos"):
        assert expected in text


def test_the_page_says_how_photos_are_prepared_and_names_those_that_differ():
    row = {"photo": "cat/1<b>.png", "number": 3, "true": "cat", "sqnr_db": 11.5}
    plain = {"photo": "plain.png", "number": 4, "sqnr_db": None}
    nothing = dict.fromkeys(("true", "predicted", "predicted_float"))
    differences = [row | {"predicted": "dog", "predicted_float": "cat"}, plain | nothing]
    text = page(evaluation=EVALUATION | {"most_different": differences})
    prepared = PROGRAM.preprocessing.in_words
    for expected in ("cat/1&lt;b&gt;.png", "11.50 dB", 'class="bad">dog', "differ most", prepared):
        assert expected in text
    assert "differ most" not in page(evaluation=EVALUATION)  # an older file has none


def test_names_are_escaped():
    assert "<b>" not in page(evaluation=EVALUATION).replace("<b>85", "").replace('<div class="tile"><b>', "")


def test_nothing_is_loaded_from_anywhere():
    text = page(quantize=QUANTIZE, evaluation=EVALUATION)
    assert not re.search(r"(src|href)\s*=|@import|url\(|<script|<img", text)
    assert set(re.findall(r"https?://[^\"'<> ]*", text)) <= {"http://www.w3.org/2000/svg"}


def test_peers_are_labelled():
    text = page(evaluation=EVALUATION)
    assert "not measured in this run" in text
    for row in PEERS["elpv"]:
        assert row["name"] in text


def test_a_program_alone_is_enough():
    text = page()
    assert "No accuracy was measured" in text
    assert "Where the error arises" not in text


def test_problems_come_first():
    proof = audit(PROGRAM).model_copy(update={"problems": ["head: overflows"], "float_ops": 2})
    text = render(json.loads(to_json(report_data(PROGRAM, proof=proof))))
    assert "The audit failed" in text
    assert "head: overflows" in text
    assert "Nothing, from the pixels" not in text
