from p2vit.quant.search.layers import searchable
from support.tiny import config


def test_layers_are_those_of_the_blocks_with_their_shapes():
    layers = searchable(config())
    assert [layer.name for layer in layers[:6]] == [
        "blocks.0.attn.q",
        "blocks.0.attn.k",
        "blocks.0.attn.v",
        "blocks.0.attn.proj",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
    ]
    assert len(layers) == 12
    fc1, fc2 = layers[4:6]
    assert (fc1.outputs, fc1.inputs, fc2.outputs, fc2.inputs) == (40, 24, 24, 40)
    assert fc1.macs == 40 * 24 * config().tokens
