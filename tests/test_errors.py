from p2vit.errors import MissingPackageError, P2vitError, did_you_mean, some


def test_did_you_mean():
    assert did_you_mean("textiles", ["elpv", "textile"]) == " Did you mean 'textile'?"
    assert did_you_mean("xyz", ["elpv"]) == ""


def test_some_counts_what_it_leaves_off():
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefg"), most=2) == "a, b and 5 more"


def test_missing_package_says_how_to_install():
    error = MissingPackageError("timm", "a model by timm's name", "timm")
    assert isinstance(error, P2vitError)
    assert "pip install 'p2vit[timm]'" in str(error)
