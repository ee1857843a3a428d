"""Single output files, with other files beside them."""

import pytest

from p2vit.errors import P2vitError
from p2vit.files import check_output, write_files


def test_files_that_go_together(tmp_path):
    page, data = tmp_path / "a" / "p.html", tmp_path / "a" / "p.json"
    write_files({page: "<html>é", data: b"1"}, overwrite=False)
    assert page.read_text(encoding="utf-8") == "<html>é"
    with pytest.raises(P2vitError, match=r"p\.html: exists already"):
        write_files({page: "", data: ""}, overwrite=False)
    data.write_text("mine")
    with pytest.raises(P2vitError, match=r"p\.json: was changed after"):
        write_files({page: "", data: ""}, overwrite=True)
    assert page.read_text(encoding="utf-8") == "<html>é"


def test_a_file_is_checked_before_it_is_made(tmp_path):
    check_output(tmp_path / "new" / "file", overwrite=False)
    (tmp_path / "file").touch()
    with pytest.raises(P2vitError, match=r"file: exists already.*--overwrite"):
        check_output(tmp_path / "file", overwrite=False)
    with pytest.raises(P2vitError, match=r"file: was not written by p2vit, so it is not overwritten"):
        check_output(tmp_path / "file", overwrite=True)
