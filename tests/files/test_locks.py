import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from p2vit.errors import P2vitError
from p2vit.files import lock_output, one_writer
from support.interrupted import DONE, REFUSED, in_child

HOLDER = """
import sys, time
from pathlib import Path
from p2vit.files import lock_output
sys.argv = ["p2vit", "quantize", "digits", "-o", "a b"]
with lock_output(Path(sys.stdin.readline().strip())):
    print("held", flush=True)
    {then}
"""


def holder(path, then="time.sleep(600)"):
    """Another process that holds a lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(f"{path}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "held\n"
    return process


def take(path):
    with lock_output(path):
        pass


@pytest.mark.parametrize("kind", ["new", "folder", "file"])
def test_a_second_run_is_refused_until_the_first_is_gone(tmp_path, kind):
    path = tmp_path / "deep" / "out"
    if kind != "new":
        path.parent.mkdir()
        path.mkdir() if kind == "folder" else path.touch()
    process = holder(path)
    with pytest.raises(P2vitError) as caught:
        take(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: another run of p2vit writes there (process {process.pid} on ")
    assert text.endswith("p2vit quantize digits -o 'a b'); wait for it, or choose another place")
    take(tmp_path / "other")
    process.kill()
    process.wait()
    take(path)
    assert not list(tmp_path.rglob(".*lock"))


def test_a_lock_does_not_outlive_a_killed_run_in_its_workers(tmp_path):
    # The worker gives the lock up as its first act; it says so before the run is killed.
    worker = (
        "import os; r, w = os.pipe(); child = os.fork() or (os.write(w, b'.') and time.sleep(600)); "
        "os.read(r, 1); print(child, flush=True); time.sleep(600)"
    )
    process = holder(tmp_path / "out", worker)
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        os.kill(child, 0)
        take(tmp_path / "out")
    finally:
        os.kill(child, signal.SIGKILL)


def test_one_path_by_many_names(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real")
    with lock_output(tmp_path / "real"):
        for name in (Path("."), tmp_path / "alias", tmp_path / "real" / ".." / "alias"):
            assert in_child(lambda name=name: take(name)) == REFUSED
        assert in_child(lambda: take(tmp_path / "real" / "below")) == DONE


def test_the_same_thread_may_hold_it_again_and_another_may_not(tmp_path):
    path, said = tmp_path / "out", []

    def other():
        try:
            take(path)
        except P2vitError as error:
            said.append(str(error))

    with lock_output(path):
        take(path)
        assert in_child(lambda: take(path)) == REFUSED
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert said == [
        f"{path}: another thread of this process writes there; wait for it, or choose another place"
    ]
    assert in_child(lambda: take(path)) == DONE


def test_what_was_made_for_the_lock_goes_with_it(tmp_path):
    with lock_output(tmp_path / "a" / "b" / "out"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not list(tmp_path.iterdir())
    with lock_output(tmp_path / "a" / "b" / "out"):
        (tmp_path / "a" / "mine").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "mine"]


def test_a_left_lock_file_and_a_link_for_one(tmp_path):
    (tmp_path / ".out.p2vit-lock").write_text("process 1 on elsewhere: stale")
    take(tmp_path / "out")
    assert not list(tmp_path.iterdir())
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".out.p2vit-lock").symlink_to("precious")
    with pytest.raises(P2vitError, match="out: cannot be written"):
        take(tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "mine"


def test_many_at_once_and_one_at_a_time(tmp_path):
    """Runs that come and go, each removing the lock file: never two at a time."""
    path, count = tmp_path / "out", tmp_path / "count"
    count.write_text("0")

    def work():
        done = 0
        while done < 30:
            try:
                with lock_output(path):
                    count.write_text(str(int(count.read_text()) + 1))
                    done += 1
            except P2vitError:
                pass

    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            try:
                work()
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert count.read_text() == "120"


def test_functions_with_one_writer(tmp_path):
    @one_writer("output", "log", only_with="data")
    def job(data, output, *, log=None):
        return [in_child(lambda: take(output)), *([in_child(lambda: take(log))] if log else [])]

    assert job("x", tmp_path / "a") == [REFUSED]
    assert job("x", output=tmp_path / "a", log=tmp_path / "b") == [REFUSED, REFUSED]
    assert job(None, tmp_path / "a") == [DONE]
