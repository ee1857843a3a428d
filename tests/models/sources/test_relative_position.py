"""Relative position bias tables: resampled as the libraries do, shared by blocks, missing, or for another grid."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from p2vit.errors import ModelError  # noqa: E402
from p2vit.models.sources.reader import StateReader  # noqa: E402
from p2vit.models.sources.relative_position import TABLE, copy_tables, grid_side, resampled  # noqa: E402
from p2vit.models.sources.timm_layout import canonical_from_timm  # noqa: E402
from p2vit.models.sources.timm_source import from_timm_model  # noqa: E402
from p2vit.models.windows import GlobalWindow  # noqa: E402
from support.hf_classes import shaken  # noqa: E402
from support.tiny import config  # noqa: E402

GRIDS = [
    ((14, 14), (24, 24)),
    ((24, 24), (14, 14)),
    ((4, 4), (5, 7)),
    ((4, 4), (4, 6)),
    ((2, 2), (3, 9)),
    ((1, 1), (2, 3)),
    ((3, 3), (1, 2)),
]
SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 3, "patch_size": 8, "num_classes": 5}
NAMES = (f"blocks.{{}}.attn.{TABLE}", f"rel_pos_bias.{TABLE}")


def table(grid, heads=3, seed=0):
    rows = (2 * grid[0] - 1) * (2 * grid[1] - 1) + 3
    return torch.randn(rows, heads, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_resampling_is_that_of_timm(timm, old, new):
    window = GlobalWindow(new)
    wanted = timm.layers.resize_rel_pos_bias_table(table(old), new, (window.bias_rows, 3))
    torch.testing.assert_close(resampled(table(old), old, window, "timm"), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_resampling_is_that_of_transformers(transformers, old, new):
    window = GlobalWindow(new)
    shape = transformers.BeitConfig(num_attention_heads=3)
    module = transformers.models.beit.modeling_beit.BeitRelativePositionBias(shape, old)
    with torch.inference_mode():
        module.relative_position_bias_table.copy_(table(old))
        wanted = module(new)[0]
        found = resampled(table(old), old, window, "transformers")
    index = torch.from_numpy(window.bias_index)
    torch.testing.assert_close(found[index].permute(2, 0, 1), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("own", [True, False], ids=["own tables too", "shared table alone"])
def test_a_shared_table_is_added_to_those_of_the_blocks(timm, own):
    options = {"use_shared_rel_pos_bias": True, "use_rel_pos_bias": own, "img_size": (24, 40)}
    model = shaken(timm.create_model("beit_base_patch16_224", pretrained=False, **SMALL, **options))
    found = from_timm_model(model, "beit_base_patch16_224")
    shared = model.rel_pos_bias.relative_position_bias_table
    for number, block in enumerate(model.blocks):
        wanted = shared + block.attn.relative_position_bias_table if own else shared
        torch.testing.assert_close(found.module.blocks[number].bias_table, wanted)
    pixels = torch.randint(
        0, 256, (2, 24, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    x = ((pixels / 255 - found.module.mean) / found.module.std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        torch.testing.assert_close(found.module(pixels), model(x), rtol=1e-5, atol=1e-5)


def test_a_square_number_of_distances_is_a_square_grid_in_a_file_alone(timm):
    """A grid of 2 × 14 patches has as many distances as one of 5 × 5."""
    model = timm.create_model("beit_base_patch16_224", pretrained=False, img_size=(16, 112), **SMALL)
    shaken(model)
    state, shape = dict(model.state_dict()), from_timm_model(model, "beit").config
    key = f"blocks.0.attn.{TABLE}"
    assert grid_side(len(state[key])) == 5
    in_memory = canonical_from_timm(state, shape, "model", from_file=False)
    assert torch.equal(in_memory["blocks.0.bias_table"], state[key])
    stored = canonical_from_timm(state, shape, "file")
    wanted = timm.models.beit.checkpoint_filter_fn(state, model)[key]
    torch.testing.assert_close(stored["blocks.0.bias_table"], wanted, rtol=0, atol=1e-5)


def test_missing_and_wrong_tables_are_named():
    shape = config(relative_positions=True, pool="avg")
    for state, message in (
        ({}, rf"missing: blocks\.0\.attn\.{TABLE}"),
        ({f"blocks.{n}.attn.{TABLE}": torch.zeros(7, 3) for n in range(2)}, r"is \[7, 3\], not \[18, 3\]"),
        ({f"blocks.{n}.attn.{TABLE}": torch.zeros(12, 4) for n in range(2)}, r"is \[12, 4\], not \[12, 3\]"),
    ):
        read = StateReader(state, "file")
        copy_tables(read, {}, NAMES, shape, "timm")
        with pytest.raises(ModelError, match=message):
            read.finish("tiny")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"register_tokens": 1}, "register tokens or rotary positions"),
        ({"rope": "axial"}, "register tokens or rotary positions"),
        ({"class_token": False, "pool": "attention"}, "pool 'attention' with relative_positions"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(config(relative_positions=True, embed_dim=48), **changes)
