"""The blueprint of a model is the graph of its integer program, step by step."""

import pytest
import torch

from p2vit.engine.torch.executor import TorchExecutor
from p2vit.models.blueprint.model import blueprint
from p2vit.models.dense import feature_maps
from p2vit.quant.config import OURS
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.sensitivity import sqnr_db
from p2vit.quant.simulated import OUTPUT_GRID
from p2vit.quant.sites import Sites
from support.families import FAMILIES, SWIN
from support.tiny import float_model, smooth_photos, swin_model

#: Bits that the default method gives each width of a blueprint.
BITS = {"activation": 8, "stream": 16, "wide": 16, "accumulator": 32, "codes": 8}


@pytest.fixture(scope="module")
def quantized():
    made = {}

    def make(family):
        if family not in made:
            model = (swin_model if family.startswith(SWIN) else float_model)(1, **FAMILIES[family])
            before = getattr(model.config, "pool_before_norm", False)
            maps = () if before else feature_maps(["tokens"], model.config)
            photos = smooth_photos(model.config.image_size, 4)
            simulated, _ = quantize_model(model.module, [photos], OURS, 1, maps=maps)
            made[family] = simulated, lower(simulated, model.preprocessing), maps
        return made[family]

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_edges_and_widths_are_the_programs(quantized, family):
    simulated, program, maps = quantized(family)
    plan = blueprint(simulated.config, maps)
    assert (plan.output, plan.feature, plan.pixels) == (program.output, program.feature, program.pixels.shape)
    for step, node in zip(plan.steps, program.nodes, strict=True):
        spec = program.tensors[node.name]
        assert (step.name, step.operator, step.inputs) == (
            node.name,
            type(node.operator).__name__,
            node.inputs,
        )
        assert (step.shape, BITS[step.width]) == (spec.shape, spec.bits), step.name


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_a_block_use_the_grids_of_the_simulation(quantized, family):
    """A layer's grid is spelled in the blueprint and, for calibration and the search, in the quantized block."""
    simulated, _, _ = quantized(family)
    sites = Sites(simulated)
    linears = [step for step in sites.blueprint.steps if step.home == "block" and step.layer in OUTPUT_GRID]
    assert linears
    for step in linears:
        assert sites.grids[step.name] is sites.block(step).output_grid(step.layer), step.name


@pytest.mark.parametrize("family", FAMILIES)
def test_the_program_follows_the_simulation_block_by_block(quantized, family):
    """The float32 simulation does not read the blueprint, so a wrong edge shows at the block that has it.

    Every block of the simulation starts from the program's stream. Then only values that float32 rounds to the other
    side differ.
    """
    simulated, program, _ = quantized(family)
    photos = smooth_photos(simulated.config.image_size, 4)
    norms = [
        f"blocks.{i}.{'merge.gather' if b.shape.merge else 'norm1'}" for i, b in enumerate(simulated.blocks)
    ]
    before = [program.node(name).inputs[0] for name in norms]
    after = [f"blocks.{index}.add2" for index in range(len(norms))]
    run = TorchExecutor(program).run(photos, before + after)

    def real(name):
        return torch.from_numpy(program.tensors[name].real(run[name])).float()

    with torch.inference_mode():
        found = [
            sqnr_db(block(real(source)).numpy(), real(name).numpy())
            for block, source, name in zip(simulated.blocks, before, after, strict=True)
        ]
        ends = simulated.ends.head_input(simulated.pool(real(after[-1]))).numpy()
    found.append(sqnr_db(ends, real(program.feature).reshape(ends.shape).numpy()))
    assert min(found) > 33, found
