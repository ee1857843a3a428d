import pytest

from accel.load_store.machines import RTL
from p2vit.accel.load_store.section_jobs import SectionJobs
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of

DEIT = workload_of("deit_tiny_patch16_224")
STEPS = schedule(RTL, DEIT).sections[2].source.steps
AT = {step.operation.name.split(".")[-1]: index for index, step in enumerate(STEPS)}


def test_operations_that_follow_a_linear_layer_have_its_tile():
    jobs = SectionJobs(RTL, STEPS, 0)
    assert jobs.tile(AT["add1"], {AT["proj"]: 64}) == 64
    assert jobs.tile(AT["gelu"], {AT["fc1"]: 192}) == 192
    assert jobs.tile(AT["norm1"], {}) == 192
    assert jobs.tile(AT["fc1"], {}) == jobs.choices(AT["fc1"])[0] == 512


def test_machines_that_differ_in_buffer_sizes_share_their_sums():
    roomy = edit_machine(RTL, {"buffers.weight.size_bytes": 1 << 20, "load_store.columns_per_run": 1024})
    roomy = edit_machine(roomy, {"buffers.activation.size_bytes": 1 << 20})
    one, other = SectionJobs(RTL, STEPS, 0), SectionJobs(roomy, STEPS, 0)
    assert one.totals(AT["fc1"], 256) is other.totals(AT["fc1"], 256)
    assert other.choices(AT["fc1"])[0] == 768 > one.choices(AT["fc1"])[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("chunks.softmax.lanes", 8),
        ("dram.latency_ns", 100.0),
        ("dram.bandwidth_gbytes_per_s", 4.0),
        ("buffers.weight.bytes_per_port_per_cycle", 1),
        ("load_store.run_cycles", 3),
        ("load_store.reciprocal_cycles", 3),
        ("load_store.norm_row_cycles", 3),
        ("load_store.slots", 3),
        ("pipelining.intra_layer", False),
    ],
)
def test_every_other_figure_has_sums_of_its_own(path, value):
    changes = {path: value, "buffers.activation.size_bytes": 1 << 20, "buffers.weight.size_bytes": 1 << 20}
    one, other = SectionJobs(RTL, STEPS, 0), SectionJobs(edit_machine(RTL, changes), STEPS, 0)
    assert one.totals(AT["fc1"], 256) is not other.totals(AT["fc1"], 256)
