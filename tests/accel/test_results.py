import pytest
from pydantic import ValidationError

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.results import ChunkUse, Simulation
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of


def test_survives_json():
    result = simulate(workload_of("digits"), load_machine("edge")).result
    assert Simulation.model_validate_json(result.model_dump_json()) == result


def test_contract_keys():
    result = simulate(workload_of("digits"), load_machine("edge")).result.model_dump()
    assert {"cycles", "latency_ms", "energy_mj", "utilization", "layers"} <= set(result)


def test_no_chunk_is_busy_for_more_than_the_run():
    with pytest.raises(ValidationError):
        ChunkUse(name="gelu", busy_cycles=2, utilization=1.5, stalls={})
