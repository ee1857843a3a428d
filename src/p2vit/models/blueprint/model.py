"""Blueprint of a whole model."""

from collections.abc import Sequence

from p2vit.models.blueprint.block import encoder_block
from p2vit.models.blueprint.ends import attention_pooling, embedding, feature_and_head, feature_map, pooling
from p2vit.models.blueprint.step import PIXELS, Blueprint, Sketch
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.program.maps import FeatureMap


def blueprint(config: ModelConfig, maps: Sequence[FeatureMap] = ()) -> Blueprint:
    """Spell the topology of a model: what lowering makes operators of, and what an accelerator is charged for.

    Args:
        config: Shape of the model.
        maps: Feature maps that the model puts out.

    Returns:
        All steps in execution order, named as in the model's integer program.
    """
    pixels = (*config.image_size, 3)
    sketch = Sketch({PIXELS: pixels})
    stream = embedding(sketch, config)
    for number, shape in enumerate(config.blocks):
        stream = encoder_block(sketch, number, shape, stream)
        for each in maps:
            if each.layer == number:
                feature_map(sketch, each.name, stream)
    if isinstance(config, ViTConfig) and config.pool == "attention":
        pooled = attention_pooling(sketch, config, stream)
    else:
        pooled = pooling(sketch, config, stream)
    output, feature = feature_and_head(sketch, config, pooled)
    return Blueprint(config.name, pixels, tuple(sketch.steps), output, feature)
