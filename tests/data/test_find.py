"""One rule for all folders: links, loops, hidden files, what systems leave behind, and what is said of the rest."""

import os
import socket
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from p2vit.data.find import EXTENSIONS, find_photos
from p2vit.data.folder import ImageFolder
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

PRE = Preprocessing(image_size=(4, 4))


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


def names(root):
    return [path.relative_to(root).as_posix() for path in find_photos(root)[0]]


@pytest.mark.parametrize("ending", EXTENSIONS)
def test_every_ending_in_any_case(tmp_path, ending):
    for name in (f"a{ending}", f"B{ending.upper()}"):
        (tmp_path / name).write_bytes(b"content decides later")
    assert names(tmp_path) == [f"B{ending.upper()}", f"a{ending}"]


def test_order_is_that_of_the_names(tmp_path):
    for name in ("b/2.png", "b.png", "a/z/1.png", "a/2.png", "c/1.png", "b-c/1.png"):
        photo(tmp_path / name)
    assert names(tmp_path) == ["a/2.png", "a/z/1.png", "b/2.png", "b-c/1.png", "b.png", "c/1.png"]
    assert find_photos(tmp_path)[0] == sorted(tmp_path.rglob("*.png"))


def test_hidden_and_left_behind_files_are_passed_over_without_a_word(tmp_path):
    photo(tmp_path / "cat" / "1.png")
    for name in (
        ".hidden.png",
        ".git/x.png",
        "__MACOSX/cat/._1.png",
        "cat/._1.png",
        "@eaDir/1.png",
        ".ipynb_checkpoints/1.png",
    ):
        photo(tmp_path / name)
    for name in ("Thumbs.db", "cat/desktop.ini", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    assert find_photos(tmp_path) == ([tmp_path / "cat" / "1.png"], [])
    folder = ImageFolder(tmp_path, PRE)
    assert (folder.classes, folder.notes) == (("cat",), [])


def test_a_hidden_folder_that_is_named_is_read(tmp_path):
    photo(tmp_path / ".photos" / "1.png")
    assert names(tmp_path / ".photos") == ["1.png"]


def test_links_are_followed(tmp_path):
    photo(tmp_path / "store" / "x.png")
    photo(tmp_path / "store" / "deep" / "y.png")
    data = tmp_path / "data"
    (data / "dog").mkdir(parents=True)
    (data / "cat").symlink_to(tmp_path / "store")
    (data / "dog" / "z.jpg").symlink_to(tmp_path / "store" / "x.png")
    (data / "dog" / "more").symlink_to("../../store/deep")
    assert names(data) == ["cat/deep/y.png", "cat/x.png", "dog/z.jpg"]  # deep was read before
    folder = ImageFolder(data, PRE)
    assert folder.classes == ("cat", "dog")
    assert folder.labels.tolist() == [0, 0, 1, 1]  # two classes may have the same photos
    assert [len(pixels) for pixels, _ in folder.evaluation()] == [4]


def test_loops_end_and_are_said(tmp_path):
    photo(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "up").symlink_to("..")
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "round").symlink_to("round")
    photos, notes = find_photos(tmp_path)
    assert photos == [tmp_path / "cat" / "1.png"]
    assert "skipped links to folders that were read before, or that contain the link: " in notes[1]
    assert "skipped broken links: " in notes[0]
    folder = ImageFolder(tmp_path, PRE)
    assert folder.classes == ("cat",)
    assert len(folder.notes) == 2


def test_links_to_links_to_links_are_read_once_each(tmp_path):
    photo(tmp_path / "0" / "x.png")
    for level in range(1, 40):  # 2^39 ways down
        (tmp_path / str(level)).mkdir()
        for name in ("a", "b"):
            (tmp_path / str(level) / name).symlink_to(tmp_path / str(level - 1))
    assert len(find_photos(tmp_path / "39")[0]) == 1


def test_folders_may_nest_deeper_than_python_calls(tmp_path, request):
    here = os.open(tmp_path, os.O_RDONLY)
    # Python's own way to remove folders calls itself for each one, and would fail in the end.
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", tmp_path / "d"], check=True))
    try:
        for _ in range(1100):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("x.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    assert len(find_photos(tmp_path)[0]) == 1


def test_what_is_no_photo_is_counted(tmp_path):
    photo(tmp_path / "cat" / "1.png")
    for name in ("a.txt", "b.TXT", "cat/c.json", "README", "d.mp4"):
        (tmp_path / name).write_bytes(b"x")
    assert find_photos(tmp_path)[1] == [
        f"{tmp_path}: skipped 5 files that are not photos: .txt (2), .json (1), .mp4 (1), no suffix (1)"
    ]
    assert "skipped 5 files that are not photos: .txt (2)" in ImageFolder(tmp_path, PRE).notes[0]


def test_photos_beside_class_folders_are_said(tmp_path):
    photo(tmp_path / "cat" / "1.png")
    photo(tmp_path / "top.png")
    folder = ImageFolder(tmp_path, PRE)
    assert folder.paths == [tmp_path / "cat" / "1.png"]
    assert (
        "skipped 1 of the photos, which are in no subfolder and so have no class: top.png" in folder.notes[0]
    )


def test_photo_like_files_that_cannot_be_read_are_listed(tmp_path):
    photo(tmp_path / "1.png")
    for name in ("2.nef", "3.CR2", "4.jxl", "5.psd", "6.exr"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "7.png").symlink_to("gone.png")
    os.mkfifo(tmp_path / "8.png")
    (tmp_path / "9.jpg").mkdir()
    (tmp_path / "A.jpg").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "B.jpg"))
    folder = ImageFolder(tmp_path, PRE)
    assert [len(pixels) for pixels, _ in folder.evaluation()] == [1]
    reasons = {os.path.basename(path): reason.partition(": ")[2] for path, reason in folder.skipped}
    assert sorted(reasons) == [
        "2.nef",
        "3.CR2",
        "4.jxl",
        "5.psd",
        "6.exr",
        "7.png",
        "8.png",
        "A.jpg",
        "B.jpg",
    ]
    assert (
        reasons["2.nef"]
        == reasons["3.CR2"]
        == "a camera's raw data, which has no defined look; develop it to PNG or JPEG first"
    )
    assert reasons["4.jxl"].startswith("a JPEG XL")
    assert reasons["7.png"] == "a broken link to gone.png"
    assert reasons["8.png"] == "a named pipe, not a photo"
    assert reasons["A.jpg"] == "empty, 0 bytes"
    assert reasons["B.jpg"] == "a socket, not a photo"
    with pytest.raises(DataError, match=r"2\.nef: a camera's raw data"):
        list(ImageFolder(tmp_path, PRE, strict=True).evaluation())


def test_a_folder_named_as_a_photo_is_a_folder(tmp_path):
    photo(tmp_path / "all.png" / "1.png")
    assert names(tmp_path) == ["all.png/1.png"]
    assert ImageFolder(tmp_path, PRE).classes == ("all.png",)


def test_no_photo_says_what_there_is(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for look in (find_photos, lambda folder: ImageFolder(folder, PRE)):
        with pytest.raises(
            DataError,
            match=r"contains no photos\. .* suffixes \.avif.*; skipped 1 file that is not a photo: \.txt",
        ):
            look(tmp_path)


@given(st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name)))
def test_any_bytes_are_a_name(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("odd")
    with open(os.fsencode(folder) + b"/n" + name + b".png", "wb") as file:
        file.write(b"x")
    (found,), notes = find_photos(folder)
    assert os.fsencode(found.name) == b"n" + name + b".png"
    assert notes == []
