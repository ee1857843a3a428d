"""Sets of files: written together or not at all, and never over a file of the user."""

import itertools
import os
import random
import shutil

import pytest

from p2vit.errors import P2vitError
from p2vit.files import RECORD, FileSet, unfinished_sets, write_text
from support.interrupted import DONE, REFUSED, every_kill, in_child, on_a_disk_of, tree
from support.tiers import extended

OLD = {"data/a.bin": b"old a", "data/b.bin": b"old b" * 999, "main.json": '{"old": true}\n', "gone/c": "c"}
NEW = {"data/a.bin": b"new a" * 777, "data/b.bin": b"new b", "more/d": "d", "main.json": '{"new": true}\n'}
FOREIGN = {"notes.txt": b"mine", "data/mine.bin": b"mine too", "gone/mine": b"me", "sub/deep/x": b"y"}


def put(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def bytes_of(files):
    return {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}


def content_of(folder):
    """The files of a folder without the record."""
    return {name: content for name, content in tree(folder).items() if name != RECORD}


def filling(folder, overwrite=False):
    return FileSet.filling(folder, "thing", overwrite)


def test_a_set_appears_and_only_its_own_files_are_replaced(tmp_path):
    folder = tmp_path / "deep" / "out"
    filling(folder).write(OLD)
    assert content_of(folder) == bytes_of(OLD)
    put(folder, FOREIGN)
    with pytest.raises(P2vitError, match=r"out: exists already; choose another place, or allow overwriting"):
        filling(folder).write(NEW)
    filling(folder, overwrite=True).write(NEW)
    assert content_of(folder) == bytes_of(NEW) | FOREIGN
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    assert not unfinished_sets(folder)


def test_the_same_files_leave_the_same_record(tmp_path):
    filling(tmp_path / "a").write(NEW)
    filling(tmp_path / "b").write(OLD)
    filling(tmp_path / "b", overwrite=True).write(dict(reversed(NEW.items())))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("make", ["file", "folder", "link"])
def test_what_is_in_the_way_is_named_and_kept(tmp_path, name, make):
    folder = tmp_path / "out"
    filling(folder).write({"else": "x"})
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if make == "file":
        path.write_bytes(b"mine")
    elif make == "folder":
        path.mkdir()
    else:
        (tmp_path / "target").write_bytes(b"mine")
        path.symlink_to(tmp_path / "target")
    before = tree(tmp_path)
    with pytest.raises(P2vitError, match=rf"{name}: (is|was) .*; move it away, or choose another place"):
        filling(folder, overwrite=True).write(NEW)
    assert tree(tmp_path) == before


def test_a_part_of_the_way_that_is_no_folder(tmp_path):
    filling(tmp_path / "out").write({"else": "x"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(P2vitError, match=r"out/data: is a symbolic link, but must be a folder"):
        filling(tmp_path / "out", overwrite=True).write(NEW)
    assert not tree(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", OLD)
def test_an_edited_file_is_named_and_kept(tmp_path, name):
    filling(tmp_path).write(OLD)
    (tmp_path / name).write_bytes(b"edited")
    before = tree(tmp_path)
    with pytest.raises(P2vitError, match=f"{name}: was changed after p2vit wrote it"):
        filling(tmp_path, overwrite=True).check()
    with pytest.raises(P2vitError, match=f"{name}: was changed after p2vit wrote it"):
        filling(tmp_path, overwrite=True).write(NEW)
    assert tree(tmp_path) == before
    (tmp_path / name).unlink()
    filling(tmp_path, overwrite=True).write(NEW)


def test_a_folder_of_others_gets_no_set_that_fills_it(tmp_path):
    put(tmp_path, FOREIGN)
    for overwrite in (False, True):
        with pytest.raises(
            P2vitError, match=r"contains data, gone, notes\.txt and 1 more, but no thing that p2vit wrote"
        ):
            filling(tmp_path, overwrite).write(NEW)
    assert tree(tmp_path) == FOREIGN
    FileSet.within(tmp_path, "thing", False).write(NEW)
    assert content_of(tmp_path) == FOREIGN | bytes_of(NEW)


def test_sets_do_not_take_each_others_files(tmp_path):
    filling(tmp_path).write(OLD)
    with pytest.raises(P2vitError, match=r"main.json: belongs to the thing that p2vit wrote there"):
        write_text(tmp_path / "main.json", "", overwrite=True)
    write_text(tmp_path / "page.html", "one", overwrite=False)
    filling(tmp_path, overwrite=True).write(NEW)
    assert (tmp_path / "page.html").read_text() == "one"
    write_text(tmp_path / "page.html", "two", overwrite=True)
    assert (tmp_path / "page.html").read_text() == "two"


def test_steps_are_finished_by_the_same_settings_only(tmp_path):
    place = tmp_path / "out"

    def steps(token, overwrite=False):
        target = FileSet.within(place, "table", overwrite)
        resumed = target.check(["t"], token)
        target.begin(token)
        target.write({"t": token}, token)
        return target, resumed

    assert not steps("a")[1]
    with pytest.raises(P2vitError, match=r"out: contains an unfinished table with other settings \(a\)"):
        steps("b")
    again, resumed = steps("a")
    assert resumed
    again.finish()
    with pytest.raises(P2vitError, match="exists already"):
        steps("a")
    steps("b", overwrite=True)[0].finish()
    assert (place / "t").read_text() == "b"


# Interrupted.


@pytest.mark.parametrize(
    ("old", "foreign"),
    extended(itertools.product((None, {}, OLD), (False, True)), quick=[(None, False)]),
)
def test_a_kill_at_any_step_is_finished_by_the_same_command(tmp_path, monkeypatch, old, foreign):
    # A killed process loses nothing that it wrote; waiting for the disk is for power cuts.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    root, whole = tmp_path / "root", tmp_path / "whole"
    folder = root / "out"
    overwrite = bool(old)

    def fresh():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        if old == {}:
            folder.mkdir()
        elif old:
            filling(folder).write(old)
        if foreign and old:
            put(folder, FOREIGN)

    def write():
        filling(folder, overwrite).write(NEW)

    fresh()
    write()
    shutil.copytree(root, whole)
    before, kills = bytes_of(old or {}), 0
    for _ in every_kill(write, root, fresh):
        kills += 1
        visible = content_of(folder) if folder.exists() else {}
        good = {name: content for name, content in visible.items() if ".p2vit-" not in name}
        mine = FOREIGN if foreign and old else {}
        if not unfinished_sets(folder):
            assert good in (before | mine, bytes_of(NEW) | mine)
        assert mine.items() <= good.items()
        if folder.exists() and good == bytes_of(NEW) | mine and not overwrite and not unfinished_sets(folder):
            # It was complete already when it was killed.
            assert in_child(write) == REFUSED
            filling(folder, True).write(NEW)
        else:
            assert in_child(write) == DONE
        assert {n: c for n, c in tree(root).items() if not n.endswith("lock")} == tree(whole)
    assert kills > 15


@pytest.mark.parametrize("old", [pytest.param(None, marks=pytest.mark.extended), OLD])
def test_a_disk_that_fills_up_changes_nothing(tmp_path, old):
    folder, rng = tmp_path / "out", random.Random(1)
    if old:
        filling(folder).write(old)
        put(folder, FOREIGN)
    before, codes = tree(tmp_path), []
    for _ in range(40):
        codes.append(on_a_disk_of(rng.randrange(4500), lambda: filling(folder, bool(old)).write(NEW)))
        if codes[-1] == DONE:
            assert content_of(folder) == bytes_of(NEW) | (FOREIGN if old else {})
            shutil.rmtree(folder)
            if old:
                filling(folder).write(old)
                put(folder, FOREIGN)
        assert tree(tmp_path) == before
        assert folder.exists() == bool(old)
    assert set(codes) == {REFUSED, DONE}


def test_what_is_missing_is_said(small_disk):
    target = filling(small_disk / "out")
    content = b"x" * 200_000
    with pytest.raises(
        P2vitError, match=r"out/big: cannot be written: No space left on device; 200,005 bytes are"
    ):
        target.write({"small": "small", "big": content})
    assert not tree(small_disk)
    assert not list(small_disk.iterdir())
    filling(small_disk / "out").write(OLD)
    before = tree(small_disk)
    with pytest.raises(P2vitError, match="No space left on device"):
        filling(small_disk / "out", overwrite=True).write({"big": content})
    assert tree(small_disk) == before


def test_leftovers_of_others_are_not_taken_away(tmp_path):
    mine = tmp_path / ".out.p2vit-new"
    put(mine, FOREIGN)
    with pytest.raises(P2vitError, match=r"\.out\.p2vit-new: p2vit needs this name.*; move it away"):
        filling(tmp_path / "out").write(NEW)
    assert tree(mine) == FOREIGN
    assert not (tmp_path / "out").exists()
