import pytest

pytest.importorskip("torch")


def quantize(p2vit, folder, *more):
    return p2vit("quantize", "digits", "--data", "digits", "-o", folder, "--calib-images", 8, *more)


def test_what_is_stated_arrives(p2vit, tmp_path):
    answer = quantize(
        p2vit, tmp_path / "a", "--mean", "0.5", "--std", "0.2,0.3,0.4", "--crop-mode", "squash", "--json"
    )
    assert answer.code == 0, answer.err
    said = answer.json["preprocessing"]
    assert (said["mean"], said["std"], said["resize"]) == ([0.5] * 3, [0.2, 0.3, 0.4], "squash")
    assert answer.json["checked"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mean", "0.1,0.2"), "is not three numbers"),
        (("--std", "0,1,1"), "--std"),
        (("--crop-pct", "1.5"), "--crop-pct 1.5: must be above 0 and at most 1"),
        (("--crop-mode", "border"), "is not one of 'center', 'squash'"),
        (("--pool", "max"), "is not one of 'token', 'avg'"),
        (("--pool", "avg"), "--pool"),
        (("--key", "ema"), "--key"),
        (("--interpolation", "sharp"), "is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused(p2vit, tmp_path, arguments, message):
    answer = quantize(p2vit, tmp_path / "a", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert not (tmp_path / "a").exists()
