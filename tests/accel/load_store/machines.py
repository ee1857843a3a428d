"""Hypothesis strategies for load–store machines, and for models that fit them."""

from hypothesis import strategies as st

from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.precision import Precision
from p2vit.models.config import ViTConfig

RTL, WIDE, SMALL = (load_machine(name) for name in ("rtl", "rtl-wide", "rtl-small"))


@st.composite
def machines(draw):
    """Draw machines whose buffers hold the models below."""
    machine = edit_machine(
        RTL,
        {
            "chunks.mac_array.lines": draw(st.integers(2, 40)),
            "chunks.mac_array.lanes_per_line": draw(st.integers(2, 40)),
            "chunks.layernorm.lanes": draw(st.integers(1, 40)),
            "chunks.softmax.lanes": draw(st.integers(1, 40)),
            "chunks.requantization.lanes": draw(st.integers(1, 40)),
            "chunks.gelu.lanes": draw(st.integers(1, 40)),
            "buffers.activation.size_bytes": 1 << 22,
            "buffers.weight.bytes_per_port_per_cycle": draw(st.integers(1, 64)),
            "dram.bandwidth_gbytes_per_s": draw(st.floats(0.5, 50)),
            "load_store.slots": draw(st.sampled_from([2, 3, 4])),
            "load_store.columns_per_run": draw(st.sampled_from([8, 48, 512])),
            "load_store.queue_depth": draw(st.integers(1, 9)),
            "load_store.loads_in_flight": draw(st.integers(1, 9)),
        },
    )
    return machine.with_pipelining(inter_layer=draw(st.booleans()), intra_layer=draw(st.booleans()))


@st.composite
def workloads(draw):
    """Draw ViTs with two blocks and odd sizes."""
    heads = draw(st.integers(1, 4))
    config = ViTConfig(
        "vit",
        image_size=(draw(st.integers(2, 9)) * 8, draw(st.integers(2, 9)) * 8),
        patch_size=8,
        embed_dim=heads * draw(st.sampled_from([16, 24, 32])),
        depth=2,
        heads=heads,
        mlp_dim=draw(st.sampled_from([70, 128, 192])),
        num_classes=draw(st.integers(0, 20)),
        register_tokens=draw(st.integers(0, 4)),
        pool=draw(st.sampled_from(["token", "avg"])),
        pre_norm=draw(st.booleans()),
    )
    return workload_of_config(config, Precision(draw(st.sampled_from([4, 8])), draw(st.booleans())))
