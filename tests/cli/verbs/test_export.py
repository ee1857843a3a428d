import pytest


@pytest.mark.parametrize(
    "words", [("--images", "0"), ("--images", "-3"), ("--images", "1.5"), ("--seed", "-1")]
)
def test_numbers_are_checked(p2vit, digits_program, tmp_path, words):
    answer = p2vit("export", digits_program, "--format", "vectors", "-o", tmp_path / "v", *words, "--json")
    assert answer.code == 2
    assert set(answer.json) == {"error"}
    assert not (tmp_path / "v").exists()
