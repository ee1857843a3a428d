import os
import socket

import pytest

from p2vit.errors import P2vitError
from p2vit.files.places import beside, is_ours_for_a_while, kind_of, make_folder, output_file, output_folder


def test_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    found = {path.name: kind_of(path) for path in tmp_path.iterdir()}
    assert found == {
        "folder": "folder",
        "file": "file",
        "link": "symbolic link",
        "fifo": "FIFO",
        "socket": "socket",
    }
    assert kind_of(tmp_path / "none" / "x") is None


@pytest.mark.parametrize("place", [output_file, output_folder])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fifo", r"fifo: .*FIFO"),
        ("link", r"link: .*symbolic link"),
        ("file/x", r"file/x: \S*file is a file, but must be a folder"),
        ("file/x/y", r"file/x/y: \S*file is a file, but must be a folder"),
        ("x" * 256, "the name is too long; choose a shorter one"),
        ("/dev/stdout", r"/dev/stdout: "),
        ("/dev/full", r"/dev/full: "),
        ("/dev/new", r"/dev/new: is in /dev, which is not on a disk"),
        ("/proc/self/fd/1", r"/proc/self/fd/1: is in /proc, which is not on a disk"),
    ],
)
def test_what_no_output_can_be(tmp_path, monkeypatch, place, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(P2vitError, match=message):
        place(tmp_path / name)


def test_what_no_file_and_no_folder_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", "/", str(tmp_path)):
        with pytest.raises(P2vitError, match="is a folder; give the name of a file"):
            output_file(tmp_path / name)
    with pytest.raises(P2vitError, match="/: is the root of the file system; choose a folder below it"):
        output_folder(tmp_path / "/")
    (tmp_path / "file").touch()
    with pytest.raises(P2vitError, match=r"file: exists and is not a folder \(it is a file\)"):
        output_folder(tmp_path / "file")


def test_dots_and_links_of_parents_lead_to_the_place(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real")
    from pathlib import Path

    assert output_folder(Path(".")) == tmp_path / "real"
    assert output_folder(tmp_path / "alias") == tmp_path / "real"
    assert output_folder(Path("../alias/new")) == tmp_path / "real" / "new"
    assert output_file(Path("../alias/new")) == tmp_path / "real" / "new"
    (tmp_path / "t.csv").touch()
    (tmp_path / "to.csv").symlink_to("t.csv")
    assert output_file(tmp_path / "to.csv", links=True) == tmp_path / "t.csv"


def test_shared_memory_is_a_disk():
    from pathlib import Path

    if not Path("/dev/shm").is_dir():
        pytest.skip("this system has no /dev/shm")
    assert output_folder(Path("/dev/shm/p2vit-test")) == Path("/dev/shm/p2vit-test")


def test_folders_are_made_and_told(tmp_path):
    assert make_folder(tmp_path / "a" / "b") == [tmp_path / "a", tmp_path / "a" / "b"]
    assert make_folder(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    with pytest.raises(P2vitError, match="the folder cannot be made"):
        make_folder(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["x", "é" * 120, "y" * 255])
def test_names_beside_fit(tmp_path, name):
    for role in ("new", "lock"):
        path = beside(tmp_path / name, role)
        path.touch()
        assert path.parent == tmp_path
        assert is_ours_for_a_while(path.name)
    assert not is_ours_for_a_while(name)
