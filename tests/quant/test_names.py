import pytest

from p2vit.errors import P2vitError
from p2vit.models.blueprint.model import blueprint
from p2vit.quant.api import quantize, simulated
from p2vit.quant.config import METHODS, QuantConfig
from p2vit.quant.names import check_widths, linear_layers
from support.families import FAMILIES, SWIN
from support.tiny import config, float_model, model_of, swin_config, swin_model


@pytest.fixture
def unread():
    """Photos that fail the test if more than the first batch is read."""

    def photos(first):
        yield first
        raise AssertionError("a second batch was read")

    return photos


@pytest.mark.parametrize("start", [quantize, simulated])
def test_a_layer_that_the_model_does_not_have_is_refused(start, tiny_model, photos, unread):
    wrong = QuantConfig(layer_bits={"blocks.0.attn.q": 4, "blocks.1.mlp.fc3": 4})
    with pytest.raises(
        P2vitError,
        match=r"^layer_bits names 'blocks\.1\.mlp\.fc3', which is not a layer of tiny\. Did you mean "
        r"'blocks\.1\.mlp\.fc2'\? Its layers: blocks\.0\.attn\.q, blocks\.0\.attn\.k, .* and 6 more$",
    ):
        start(tiny_model, unread(photos), wrong)


def test_a_name_like_none_of_them_gets_no_guess(tiny_model):
    with pytest.raises(
        P2vitError, match=r"'qkv', which is not a layer of tiny\. Its layers: blocks\.0\.attn\.q,"
    ):
        check_widths(tiny_model.module, QuantConfig(layer_bits={"qkv": 4}))


@pytest.mark.parametrize("name", ["patch_embed", "head"])
def test_the_ends_have_a_width_of_their_own(tiny_model, name):
    with pytest.raises(
        P2vitError, match=rf"names '{name}', whose width is head_bits \(8\)\. Set head_bits instead"
    ):
        check_widths(tiny_model.module, QuantConfig(layer_bits={name: 8}))


@pytest.mark.parametrize("bits", [1, 9, 0, -4, 4.0, "4", True, None])
def test_a_width_that_is_none_is_refused_with_its_layer(tiny_model, bits):
    with pytest.raises(
        P2vitError, match=r"'blocks\.0\.mlp\.fc1': .* is not a weight width. Allowed are 2 to 8 bits"
    ):
        check_widths(tiny_model.module, QuantConfig(layer_bits={"blocks.0.mlp.fc1": bits}))


@pytest.mark.parametrize("field", ["weight_bits", "head_bits"])
def test_the_other_widths_too(tiny_model, photos, field):
    with pytest.raises(P2vitError, match=rf"^{field}: 9 is not a weight width. Allowed are 2 to 8 bits$"):
        quantize(tiny_model, [photos], QuantConfig(**{field: 9}))


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (config(), "blocks.1.attn.proj"),
        (swin_config(), "blocks.2.merge.reduction"),
        (config(class_token=False, pool="attention", num_classes=0), "pool.mlp.fc2"),
    ],
)
def test_every_kind_of_layer_can_be_named(shape, name):
    model = model_of(shape).module
    assert name in linear_layers(model)
    check_widths(
        model, QuantConfig(layer_bits=dict.fromkeys(set(linear_layers(model)) - {"patch_embed", "head"}, 2))
    )


def test_a_named_layer_gets_its_width(photos):
    program = quantize(
        float_model(depth=1), [photos], QuantConfig(layer_bits={"blocks.0.mlp.fc1": 3})
    ).program
    widths = {
        node.name: node.operator.weight_bits
        for node in program.nodes
        if hasattr(node.operator, "weight_bits")
    }
    assert widths.pop("blocks.0.mlp.fc1") == 3
    assert set(widths.values()) == {8}


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_pass(tiny_model, name):
    check_widths(tiny_model.module, METHODS[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_those_of_the_blueprint(family):
    model = (swin_model if family.startswith(SWIN) else float_model)(1, **FAMILIES[family])
    steps = blueprint(model.config).steps
    assert set(linear_layers(model.module)) == {step.name for step in steps if step.operator == "Linear"}
