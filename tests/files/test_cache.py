import pytest

from p2vit.errors import P2vitError
from p2vit.files import made_once
from support.interrupted import every_kill, in_child, tree


def make(path):
    path.write_text("whole")
    path.with_suffix(".bin").write_text("beside")


def test_it_is_made_once_and_found_whole(tmp_path):
    path = tmp_path / "root" / "cache" / "m.xml"
    for _ in every_kill(lambda: made_once(path, make), tmp_path / "root", lambda: None):
        if path.exists():
            assert (path.read_text(), path.with_suffix(".bin").read_text()) == ("whole", "beside")
            path.unlink()
    assert made_once(path, lambda _: pytest.fail("it is there already")) == path


def test_what_fails_leaves_nothing(tmp_path):
    def fail(path):
        path.write_text("half")
        raise P2vitError("no")

    assert in_child(lambda: made_once(tmp_path / "m", fail)) == 2
    assert not tree(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(P2vitError, match="the folder cannot be made"):
        made_once(tmp_path / "file" / "m", make)
