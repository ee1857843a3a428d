import pytest

from accel.load_store.machines import RTL, SMALL
from p2vit.accel.load_store.fit import misfits_of
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of


def misfits(machine, model, **bits):
    return map_workload(machine, workload_of(model, Precision(**bits))).misfits


@pytest.mark.parametrize(
    ("changes", "model", "statement", "lever"),
    [
        ({}, "deit_base_patch16_224", "rows of blocks.0.mlp.fc2 are longer than a line holds",
         "load_store.row_terms of at least 3072"),
        ({"buffers.weight.size_bytes": 8192}, "deit_tiny_patch16_224",
         "16 weight columns of patch_embed do not fit a slot", "buffers.weight.size_bytes of at least 24576"),
        ({"load_store.vector_columns": 200}, "deit_tiny_patch16_224",
         "rows of blocks.0.attn.softmax are longer than the vector buffer",
         "load_store.vector_columns of at least 201"),
        ({"chunks.mac_array.lines": 32}, "deit_tiny_patch16_224",
         "row, vector and output buffers do not fit the activation buffer",
         "buffers.activation.size_bytes of at least 655360"),
        ({"load_store.shifters": False}, "deit_tiny_patch16_224",
         "blocks.0.attn.values has log2 codes; there are no shifters", "load_store.shifters: true"),
        ({}, "swin_tiny_patch4_window7_224", "no engine executes blocks.0.attn.windows (move)",
         "organisation: chunks"),
        ({"buffers.weight.size_bytes": 1 << 20}, "siglip_base_patch16_224", "no engine makes the constant query",
         "organisation: chunks"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_why_and_what_would(changes, model, statement, lever):
    if model.startswith("siglip"):
        from p2vit.accel.workload.resolve import known_models

        model = next(name for name in known_models() if "siglip" in name)
    found = misfits(edit_machine(RTL, changes), model)
    named = [misfit for misfit in found if misfit.statement.startswith(statement)]
    assert named, [misfit.statement for misfit in found]
    assert lever in named[0].levers
    assert named[0].demand > named[0].bound or "shifters" in statement


def test_without_shifters_8_bit_codes_run_on_the_multipliers():
    machine = edit_machine(RTL, {"load_store.shifters": False})
    assert not misfits(machine, "deit_tiny_patch16_224", log2_attention=False)


def test_the_levers_make_it_fit():
    roomy = edit_machine(
        RTL,
        {
            "load_store.row_terms": 3072,
            "buffers.activation.size_bytes": 1 << 20,
            "load_store.vector_columns": 1024,
        },
    )
    assert not misfits(roomy, "deit_base_patch16_224")


def test_the_small_machine_is_for_small_models():
    assert misfits(SMALL, "deit_tiny_patch16_224")
    assert not misfits(SMALL, "digits")


def test_a_row_of_pixels_must_fit_the_vector_buffer():
    machine = edit_machine(RTL, {"load_store.vector_columns": 40})
    patches = workload_of("deit_tiny_patch16_224").operations[:1]
    [found] = misfits_of(machine, machine.load_store, patches)
    assert found.statement == "one row of pixels of patches is longer than the vector buffer"
    assert found.levers == ("load_store.vector_columns of at least 48",)
    roomy = edit_machine(RTL, {"load_store.vector_columns": 48})
    assert not misfits_of(roomy, roomy.load_store, patches)
