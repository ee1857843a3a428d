"""Search on a Swin: the blocks of each stage have their own size, and patch merging keeps the widest width."""

from p2vit.quant.config import OURS
from p2vit.quant.search.direct import direct_sensitivity
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.library import build_library
from p2vit.quant.search.score import Scorer
from support.tiny import smooth_photos, swin_config, swin_model


def test_layers_have_the_sizes_of_their_stage():
    layers = {layer.name: layer for layer in searchable(swin_config())}
    assert (layers["blocks.1.mlp.fc1"].outputs, layers["blocks.1.mlp.fc1"].inputs) == (64, 16)
    assert (layers["blocks.2.mlp.fc1"].outputs, layers["blocks.2.mlp.fc1"].inputs) == (128, 32)
    assert (layers["blocks.1.attn.q"].rows, layers["blocks.2.attn.q"].rows) == (140, 35)


def test_a_mix_of_widths():
    model, photos = swin_model(), smooth_photos((40, 56), 4)
    library = build_library(model, [photos], OURS, (4, 8), 1)
    assert library.program.node("blocks.2.merge.reduction").operator.weight_bits == 8
    scorer = Scorer.of(model.module, library, photos[:2], 1)
    table = direct_sensitivity(scorer, 1)
    assert set(table) == {layer.name for layer in library.layers}
    assert all(row[4] > 0 and row[8] == 0 for row in table.values())
    narrow = library.compose({"blocks.3.mlp.fc2": 4})
    widths = [narrow.node(f"blocks.3.mlp.{name}").operator.weight_bits for name in ("fc1", "fc2")]
    assert widths == [8, 4]
    assert scorer.score({"blocks.3.mlp.fc2": 4}) > 0
