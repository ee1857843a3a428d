import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from p2vit.cluster import ClusterOptions, open_pool
from p2vit.errors import DataError, P2vitError
from p2vit.quant.config import QuantConfig
from p2vit.quant.search.cost import Budget, BudgetError, parse_budget
from p2vit.quant.search.fine import Evolution
from p2vit.quant.search.run import SearchConfig, prepare, search

EVOLUTION = Evolution(population=6, generations=3, crossovers=3, mutations=3)
CONFIG = SearchConfig(evolution=EVOLUTION)

#: Script of a search that kills its own process after N candidates; 0 lets it finish.
KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
import torch
from p2vit.quant.config import QuantConfig
from p2vit.quant.search import run
from p2vit.quant.search.cost import parse_budget
from p2vit.quant.search.fine import Evolution
from support.tiny import float_model

torch.manual_seed(0)
photos = np.random.default_rng(0).integers(0, 256, (12, 8, 12, 3), dtype=np.uint8)
prepared = run.prepare(float_model(), photos[:8], photos[8:], QuantConfig(), (4, 8), threads=2)
budget = parse_budget("average-bits=6", prepared.scorer.library.layers)
config = run.SearchConfig(evolution=Evolution(population=6, generations=3, crossovers=3, mutations=3))

def progress(stage, done, total):
    if stage == "search" and done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

result = run.search(prepared, budget, config, log=Path(sys.argv[1]), threads=2, progress=progress)
print(sorted(result.bits_per_layer.items()), result.sqnr_db)
"""


def budget_for(prepared, limit=6.0) -> Budget:
    return parse_budget(f"average-bits={limit}", prepared.scorer.library.layers)


def test_the_result_fits_and_is_the_best_candidate(prepared, tmp_path):
    log = tmp_path / "log.jsonl"
    result = search(prepared, budget_for(prepared), CONFIG, log=log, threads=2)
    entries = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    assert result.cost <= 6 + 1e-9
    assert result.sqnr_db == max(entry["sqnr_db"] for entry in entries)
    assert result.candidates == len(entries)
    assert set(result.bits_per_layer.values()) == {4, 8}
    assert {"library", "direct", "coarse", "fine"} <= set(result.seconds)


@pytest.mark.parametrize(
    "after", [pytest.param(1, marks=pytest.mark.slow), 7, pytest.param(13, marks=pytest.mark.slow)]
)
@pytest.mark.extended
def test_a_killed_search_continues_and_ends_with_the_same_bytes(tmp_path, after):
    def run(name: str, kill_after: int) -> subprocess.CompletedProcess:
        paths = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / name), str(kill_after)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    whole = run("whole", 0)
    assert whole.returncode == 0, whole.stderr
    assert run("killed", after).returncode == -signal.SIGKILL
    assert len((tmp_path / "killed").read_bytes()) < len((tmp_path / "whole").read_bytes())
    # A kill may leave an incomplete line.
    with (tmp_path / "killed").open("a") as file:
        file.write('{"index": 9, "gen')
    resumed = run("killed", 0)
    assert resumed.stdout == whole.stdout
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_pools_and_threads_give_the_same_log(prepared, tmp_path):
    pytest.importorskip("joblib")
    budget = budget_for(prepared)
    serial = search(prepared, budget, CONFIG, log=tmp_path / "a", threads=2)
    with open_pool(ClusterOptions(workers=2)) as pool:
        fanned = search(prepared, budget, CONFIG, log=tmp_path / "b", threads=1, pool=pool)
    assert fanned.bits_per_layer == serial.bits_per_layer
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "changes", [{"coarse": False}, {"fine": False}, {"measure": "hessian"}, {"coarse": False, "fine": False}]
)
def test_every_combination_stays_within_the_budget(prepared, changes):
    config = SearchConfig(**{"evolution": Evolution(population=4, generations=1), **changes})
    result = search(prepared, budget_for(prepared, 5.5), config, threads=2)
    assert result.cost <= 5.5 + 1e-9


def test_coarse_and_fine_are_no_worse_than_coarse(prepared):
    budget = budget_for(prepared)
    coarse = search(prepared, budget, SearchConfig(fine=False), threads=2)
    both = search(prepared, budget, CONFIG, threads=2)
    assert both.sqnr_db >= coarse.sqnr_db


def test_it_is_no_worse_than_one_width_for_all(prepared):
    result = search(prepared, budget_for(prepared, 4.1), CONFIG, threads=2)
    layers = prepared.scorer.library.layers
    assert result.sqnr_db >= prepared.scorer.score({layer.name: 4 for layer in layers})


def test_a_log_of_another_budget_is_refused(prepared, tmp_path):
    log = tmp_path / "log.jsonl"
    config = SearchConfig(fine=False)
    search(prepared, budget_for(prepared), config, log=log)
    with pytest.raises(P2vitError, match=r"other settings \(budget\)"):
        search(prepared, budget_for(prepared, 5), config, log=log)


def test_an_infeasible_budget_is_refused(prepared):
    with pytest.raises(BudgetError, match="smallest feasible budget is average-bits=4"):
        search(prepared, budget_for(prepared, 3.9), CONFIG)


def test_photos_are_needed_on_both_sides(tiny_model, photos):
    with pytest.raises(DataError, match="photos for calibration and other photos for scoring"):
        prepare(tiny_model, photos, photos[:0], QuantConfig(), (4, 8))
    assert photos.dtype == np.uint8
