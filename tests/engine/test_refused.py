"""``auto`` runs a program that the native engine refuses on the next back-end; ``native`` gives the reason."""

import numpy as np
import pytest

from p2vit.engine.executor import RefusedProgramError
from p2vit.engine.native import NativeExecutor, instruction_sets
from p2vit.engine.reference import ReferenceExecutor
from p2vit.engine.registry import BackendError, fastest, open_backend
from p2vit.program.audit import audit
from p2vit.program.format import load, save
from support.programs import random_pixels
from support.refused import REFUSED

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the native engine was not built")
torch = pytest.importorskip("torch")


@pytest.fixture(params=REFUSED)
def refused(request, tmp_path):
    """Return the folder of a valid program that the native engine cannot run."""
    program = REFUSED[request.param]()
    assert audit(program).passed
    save(program, tmp_path / "program")
    return tmp_path / "program"


def test_the_next_back_end_runs_it(refused):
    program, said = load(refused), []
    name, executor = open_backend("auto", program, 1, said.append)
    assert name == "torch"
    assert len(said) == 1
    assert said[0].startswith("back-end 'native' does not run this program (node ")
    assert said[0].endswith("Back-end 'torch' runs it: the same integers, more slowly")
    pixels, names = random_pixels(program, 2), [node.name for node in program.nodes]
    expected = ReferenceExecutor(program).run(pixels, names)
    for other in (executor, fastest(program)):
        found = other.run(pixels, names)
        assert all(np.array_equal(found[tensor], expected[tensor]) for tensor in names)


def test_by_name_it_says_why(refused):
    program = load(refused)
    with pytest.raises(RefusedProgramError, match=r"^native engine: node \S+: "):
        NativeExecutor(program)
    message = r"^back-end 'native' does not run this program \(node \S+: .*\)\. Use another: auto, torch, ref"
    with pytest.raises(BackendError, match=message):
        open_backend("native", program)


def test_every_verb(p2vit, refused, photo_folder):
    photo = next(photo_folder.rglob("*.png"))
    for arguments in (
        ("run", refused, photo),
        ("eval", refused, "--data", photo_folder, "--no-float"),
        ("verify", refused, "--backends", "reference,torch", "--images", 1),
        ("audit", refused),
        ("inspect", refused),
    ):
        answer = p2vit(*arguments, "--json")
        assert (answer.code, bool(answer.json)) == (0, True), arguments
        assert answer.err.count("does not run this program") == (arguments[0] in ("run", "eval"))
    for arguments in (
        ("run", refused, photo, "--backend", "native"),
        ("eval", refused, "--data", photo_folder, "--no-float", "--backend", "native"),
        ("verify", refused, "--backends", "reference,native", "--images", 1),
    ):
        answer = p2vit(*arguments)
        assert answer.code == 2, answer.err
        assert "does not run this program (node " in answer.err
    assert p2vit("bench", refused, "--against", "", "--rounds", 1).code == 2
