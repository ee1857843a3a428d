"""Small machines and models for the tests, and Hypothesis strategies for them."""

from hypothesis import strategies as st

from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.precision import Precision
from p2vit.models.config import ViTConfig
from p2vit.models.swin_config import SwinConfig

PAPER = load_machine("paper")
SINGLE_ENGINE = load_machine("single_engine")


@st.composite
def workloads(draw):
    """Draw ViTs and Swins with few blocks and odd sizes."""
    precision = Precision(draw(st.sampled_from([4, 8])), draw(st.booleans()))
    heads = draw(st.integers(1, 4))
    if draw(st.booleans()):
        config = ViTConfig(
            "vit",
            image_size=(draw(st.integers(2, 9)) * 8, draw(st.integers(2, 9)) * 8),
            patch_size=8,
            embed_dim=heads * draw(st.sampled_from([16, 32, 64])),
            depth=2,
            heads=heads,
            mlp_dim=draw(st.integers(10, 300)),
            num_classes=draw(st.integers(0, 20)),
            class_token=draw(st.booleans()),
            pool="avg",
        )
        return workload_of_config(config, precision)
    size = 8 * draw(st.integers(4, 8)), 8 * draw(st.integers(4, 8))
    return workload_of_config(
        SwinConfig("swin", 32 * heads, (1, 2), (heads, 2 * heads), size, 4, 4, 2, 10), precision
    )


@st.composite
def machines(draw):
    """Draw machines of several kinds that hold those models."""
    base = draw(st.sampled_from([PAPER, PAPER, PAPER, SINGLE_ENGINE]))
    own = (
        {
            "chunks.shifter_array.lines": draw(st.integers(1, 40)),
            "chunks.shifter_array.lanes_per_line": draw(st.integers(1, 64)),
        }
        if base is PAPER
        else {"reconfiguration_cycles": draw(st.sampled_from([0, 10]))}
    )
    machine = edit_machine(
        base,
        own
        | {
            "chunks.mac_array.lines": draw(st.integers(1, 40)),
            "chunks.mac_array.lanes_per_line": draw(st.integers(1, 128)),
            "chunks.mac_array.narrow_weight_rate": draw(st.sampled_from([1, 2])),
            "chunks.layernorm.lanes": draw(st.integers(1, 64)),
            "chunks.softmax.lanes": draw(st.integers(1, 64)),
            "chunks.requantization.lanes": draw(st.integers(1, 64)),
            "chunks.requantization.initiation_interval_cycles": draw(st.integers(1, 4)),
            "chunks.gelu.lanes": draw(st.integers(1, 64)),
            "chunks.elementwise.lanes": draw(st.integers(1, 64)),
            "buffers.activation.size_bytes": draw(st.sampled_from([16384, 65536, 1048576])),
            "buffers.activation.bytes_per_port_per_cycle": draw(st.integers(1, 32)),
            "buffers.weight.size_bytes": draw(st.sampled_from([16384, 65536, 524288])),
            "buffers.weight.bytes_per_port_per_cycle": draw(st.integers(1, 32)),
            "dram.bandwidth_gbytes_per_s": draw(st.floats(0.2, 50)),
        },
    )
    inter = base is PAPER and draw(st.booleans())
    return machine.with_pipelining(inter_layer=inter, intra_layer=draw(st.booleans()))
