import errno

import pytest

from p2vit.files.disk import cannot_write, free_bytes, sha256_of, write_bytes


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_what_is_needed(tmp_path, number):
    text = str(cannot_write(tmp_path / "new" / "x", OSError(number, "Full"), 1234567))
    assert text.startswith(f"{tmp_path}/new/x: cannot be written: Full; 1,234,567 bytes are needed and ")
    assert text.endswith(" are free. Make room there, or choose another place")


def test_other_reasons_are_told(tmp_path):
    error = OSError(errno.EROFS, "Read-only file system")
    assert str(cannot_write(tmp_path, error)) == f"{tmp_path}: cannot be written: Read-only file system"
    assert free_bytes(tmp_path / "new" / "x") > 0


def test_hashes(tmp_path):
    digest, size = write_bytes(tmp_path / "x", [b"ab", bytearray(b"c"), b""])
    assert (digest, size) == (sha256_of(tmp_path / "x"), 3)
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
