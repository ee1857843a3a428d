"""What a file is shows in its bytes, and what it is not is said with what to do."""

import gzip
import os
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from p2vit.errors import ModelError
from p2vit.models.sources.file_kind import file_kind


def test_the_name_does_not_count(tmp_path):
    path = tmp_path / "a.pth"
    save_file({"a": torch.zeros(2)}, path)
    assert file_kind(path) == "safetensors"
    torch.save({"a": torch.zeros(2)}, path)
    assert file_kind(path) == "zip"
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert file_kind(path) == "pickle"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty, not a weight file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page, not weights; download the file itself"),
        (b"\n <html>", "a web page"),
        (gzip.compress(b"weights", mtime=0), "compressed with gzip; unpack it first"),
        (b"\xfd7zXZ\x00", "compressed with xz"),
        (b"BZh91AY", "compressed with bzip2"),
        (b"\x28\xb5\x2f\xfd\x00", "compressed with zstandard"),
        (b"\x89HDF\r\n\x1a\n", r"an HDF5 file \(Keras\).*torch.save\(model.state_dict\(\)"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
        (b'{"a": 1}', "JSON, not weights"),
        (b"\0" * 257 + b"ustar", "a tar archive; unpack it first"),
        (b"\x1b[31mnothing of the kind", r"begins with b'.x1b.31mnothing'"),
        (b"PK\x03\x04 cut off", "damaged or cut off; download or save it again"),
    ],
)
def test_what_is_no_weight_file_is_named(tmp_path, content, said):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        file_kind(path)
    assert "\x1b" not in str(caught.value)


def test_zip_archives_that_are_no_checkpoint(tmp_path):
    path = tmp_path / "a.pth"

    def refused(said):
        with pytest.raises(ModelError, match=said):
            file_kind(path)

    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    refused("a TorchScript archive, which is code; load it with torch.jit.load")
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(2))
    refused(r"a NumPy archive \(.npz\)")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    refused("a zip archive that torch did not write")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", "a" * 1000)
    refused("a compressed zip archive, which torch does not write")


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(ModelError, match="not a regular file"):
        file_kind(tmp_path / "pipe.pth")
    with pytest.raises(ModelError, match="no such file"):
        file_kind(tmp_path / "none.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        file_kind(tmp_path / ("a" * 300))
