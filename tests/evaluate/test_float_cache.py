"""The cache of the float model's outputs: equal figures, no trust in damage, a bound, and several processes."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from p2vit.evaluate import float_cache
from p2vit.evaluate.float_cache import CachedFloat
from p2vit.files import BoundedCache

KEYS = ("top1", "top1_float", "agreement", "sqnr_db", "images", "most_different", "mcnemar")


def outputs(pixels):
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    return flat[:, :3] / 7, flat[:, :5] / 3


def never():
    pytest.fail("the float model was loaded although the outputs are in the cache")


def photos(seed, count=4):
    return np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)


def stored(tmp_path, seed=0):
    """The cache with one batch."""
    cache = BoundedCache(tmp_path / "cache", 1 << 20)
    CachedFloat(cache, {"weights": "a"}, lambda: outputs)(photos(seed))
    (entry,) = cache.folder.iterdir()
    return cache, entry


def test_the_second_time_the_model_is_not_loaded(tmp_path):
    cache, _ = stored(tmp_path)
    again = CachedFloat(cache, {"weights": "a"}, never)
    for found, expected in zip(again(photos(0)), outputs(photos(0)), strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert again.hits == 4


@pytest.mark.parametrize(
    ("identity", "pixels"),
    [({"weights": "b"}, photos(0)), ({"weights": "a"}, photos(1)), ({"weights": "a"}, photos(0)[:3])],
    ids=["other weights", "other photos", "another batch"],
)
def test_what_differs_is_computed(tmp_path, identity, pixels):
    cache, _ = stored(tmp_path)
    loads = []
    cached = CachedFloat(cache, identity, lambda: loads.append(1) or outputs)
    assert np.array_equal(cached(pixels)[0], outputs(pixels)[0])
    assert (loads, cached.hits) == ([1], 0)


def test_other_code_or_another_torch_is_another_key(tmp_path, monkeypatch):
    cache, _ = stored(tmp_path)
    for changed in ({"torch": "0"}, {"code": "0"}, {"processor": "0"}):
        told = float_cache.surroundings() | changed
        with monkeypatch.context() as patch:
            patch.setattr(float_cache, "surroundings", lambda told=told: told)
            other = CachedFloat(cache, {"weights": "a"}, lambda: outputs)
            other(photos(0))
            assert other.hits == 0


def test_a_damaged_entry_is_never_used(tmp_path):
    _, entry = stored(tmp_path)
    whole = entry.read_bytes()
    rng = np.random.default_rng(0)
    damages = [b"", whole[:20], whole[:32], whole[:-1], whole + b"x", b"\0" * len(whole)]
    for at in rng.integers(0, len(whole), 40):
        damages.append(whole[:at] + bytes([whole[at] ^ (1 << int(rng.integers(8)))]) + whole[at + 1 :])
    for damaged in damages:
        entry.write_bytes(damaged)
        cached = CachedFloat(BoundedCache(entry.parent, 1 << 20), {"weights": "a"}, lambda: outputs)
        assert np.array_equal(cached(photos(0))[1], outputs(photos(0))[1])
        assert cached.hits == 0
        assert entry.read_bytes() == whole  # it was computed and stored again


def test_an_entry_of_another_form_is_not_used(tmp_path):
    cache, entry = stored(tmp_path)
    for content in (b"", b"no tensors", bytes(100)):
        cache.put(entry.name, content)
        cached = CachedFloat(cache, {"weights": "a"}, lambda: outputs)
        cached(photos(0))
        assert cached.hits == 0


def test_the_size_is_bounded_and_old_entries_go_first(tmp_path):
    cache = BoundedCache(tmp_path, 1000)
    for number in range(20):
        cache.put(f"{number}", bytes(100))
        os.utime(tmp_path / f"{number}", (number, number))
    assert cache.get("3") == bytes(100)  # it is used, so it stays
    cache.trim()
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"3", *(str(number) for number in range(14, 20))}
    cache.put("large", bytes(2000))
    assert cache.get("large") is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    cached = CachedFloat(BoundedCache(blocked / "cache", 1 << 20), {}, lambda: outputs)
    assert np.array_equal(cached(photos(0))[0], outputs(photos(0))[0])
    cached.cache.trim()
    assert blocked.read_text() == "in the way"


def test_many_threads_see_whole_entries(tmp_path):
    cache = BoundedCache(tmp_path, 1 << 20)

    def work(number):
        cached = CachedFloat(cache, {"weights": "a"}, lambda: outputs)
        return all(
            np.array_equal(cached(photos(seed))[0], outputs(photos(seed))[0]) for seed in range(number % 5)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))
    assert not list(tmp_path.glob("making-*"))


def test_the_command_gives_the_same_figures(p2vit, digits_program, tmp_path, monkeypatch):
    monkeypatch.setenv("P2VIT_FLOAT_CACHE_MB", "10")
    monkeypatch.setenv("P2VIT_CACHE", str(tmp_path / "cache"))
    arguments = ("eval", digits_program, "--data", "digits", "--limit", 40, "--json")
    first = p2vit(*arguments).json
    second = p2vit(*arguments)
    assert (first["float_from_cache"], second.json["float_from_cache"]) == (0, 40)
    assert "float model's outputs for 40 photos are those of an earlier run" in second.err
    plain = p2vit(*arguments, "--no-cache").json
    assert plain["float_from_cache"] == 0
    for key in KEYS:
        assert first[key] == second.json[key] == plain[key], key
    assert len(list((tmp_path / "cache" / "float").iterdir())) == 5


def test_no_cache_keeps_nothing(p2vit, digits_program, tmp_path, monkeypatch):
    monkeypatch.setenv("P2VIT_FLOAT_CACHE_MB", "10")
    monkeypatch.setenv("P2VIT_CACHE", str(tmp_path / "cache"))
    p2vit("eval", digits_program, "--data", "digits", "--limit", 8, "--no-cache", "--json")
    assert not (tmp_path / "cache").exists()


@pytest.mark.extended
def test_with_all_outputs_in_the_cache_torch_is_not_imported(digits_program, tmp_path):
    import subprocess

    code = (
        "import sys; from pathlib import Path; from p2vit.workflows.evaluate import run_eval;"
        f"run_eval(Path({str(digits_program)!r}), 'digits', limit=16, backend='reference');"
        "print('torch' in sys.modules)"
    )
    environment = os.environ | {"P2VIT_FLOAT_CACHE_MB": "10", "P2VIT_CACHE": str(tmp_path)}
    source = str(Path(float_cache.__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert [each.stdout.split()[-1] for each in said] == ["True", "False"]


@pytest.mark.parametrize(("given", "size"), [("", 1024), ("7", 7), ("0", 0), ("many", 1024), ("-3", 1024)])
def test_the_size_comes_from_the_environment(monkeypatch, given, size):
    monkeypatch.setenv("P2VIT_FLOAT_CACHE_MB", given)
    cache = float_cache.float_cache()
    assert (cache.limit >> 20 if cache else 0) == size
