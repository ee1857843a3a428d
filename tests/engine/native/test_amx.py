"""The tiles of AMX are a state of the CPU that other libraries of the process use too: neither disturbs the other."""

import ctypes
import mmap
import subprocess
import sys
import threading

import numpy as np
import pytest

from p2vit.engine import native
from p2vit.engine.native.selftest import cases

pytestmark = pytest.mark.skipif(native.instruction_sets().get("amx", "no engine") != "", reason="needs AMX")


class Tiles:
    """The tile instructions that a library without compiled code of its own needs, as machine code."""

    CODES = (bytes.fromhex("c4e2784907c3"), bytes.fromhex("c4e2794907c3"), bytes.fromhex("c4e27849c0c3"))

    def __init__(self):
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        functions = []
        for index, code in enumerate(self.CODES):
            self._page[16 * index : 16 * index + len(code)] = code
            functions.append(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address + 16 * index))
        self._load, self._store, self._release = functions

    def load(self, config):
        self._load(config.ctypes.data)

    def stored(self):
        config = np.full(64, 255, np.uint8)
        self._store(config.ctypes.data)
        return config

    def release(self):
        self._release(None)


@pytest.fixture(scope="module")
def run():
    """Run the self-test's first program on three images, and compare with the reference."""
    _, program, pixels, expected = cases()[0]
    executor = native.NativeExecutor(program, 2, "amx")
    batch, wanted = np.repeat(pixels, 3, axis=0), np.repeat(expected[program.output], 3, axis=0)

    def run_and_compare():
        assert np.array_equal(executor.run(batch)[program.output], wanted)

    return run_and_compare


def test_no_state_is_left_behind(run):
    tiles = Tiles()
    tiles.release()
    run()
    assert not tiles.stored().any()


def test_a_configuration_of_another_library_is_restored(run):
    tiles = Tiles()
    theirs = np.zeros(64, np.uint8)
    theirs[0] = 1  # palette
    theirs[16:32:2], theirs[48:56] = 12, 5  # bytes per row, and rows, of the eight tiles
    tiles.load(theirs)
    try:
        run()
        assert np.array_equal(tiles.stored(), theirs)
    finally:
        tiles.release()


def test_beside_torch(run):
    """torch's own int8 and bfloat16 products use tiles, on the same and on other threads."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-128, 128, (96, 96), dtype=torch.int8, generator=generator) for _ in range(2))
    exact = a.int() @ b.int()
    x, w = (torch.randn(96, 96, generator=generator).bfloat16() for _ in range(2))
    first = x @ w
    assert torch.allclose(first.float(), x.float() @ w.float(), rtol=0.02, atol=0.1)
    failures = []

    def work():
        try:
            for _ in range(20):
                run()
                assert torch.equal(torch._int_mm(a, b), exact)
                assert torch.equal(x @ w, first)
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    assert not failures


#: Refuses arch_prctl(ARCH_REQ_XCOMP_PERM, ...) by a seccomp filter, as a sandbox may, and prints the engine's choice.
REFUSED = """
import ctypes, struct
code = [(0x20, 0, 0, 0), (0x15, 0, 3, 158), (0x20, 0, 0, 16), (0x15, 0, 1, 0x1023)]
code += [(0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
header = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(program))
assert libc.prctl(22, 2, header) == 0, ctypes.get_errno()
from p2vit.engine import native
print(native.status()["isa"], "|", native.instruction_sets()["amx"])
"""


def test_a_system_that_refuses_tiles_gets_the_next_set():
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "avx512vnni | the CPU or the system lacks it"
