"""Where an integer program and its float model part: the error of every tensor for one photo."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.engine.registry import fastest
from p2vit.errors import ModelError
from p2vit.models.blueprint.step import PIXELS, Step
from p2vit.models.loaded import FloatModel
from p2vit.numerics import AttentionValues, Linear, Softmax
from p2vit.program.graph import IntegerProgram, TensorSpec
from p2vit.quant.float_steps import FloatSteps
from p2vit.quant.sensitivity import sqnr_db

#: Widest tensors for which values beyond the grid are counted, in bits. Wider ones do not saturate by design.
WIDEST_GRID = 16


@dataclass(frozen=True)
class Place:
    """One value of a tensor.

    Attributes:
        index: Position in the tensor, without the batch dimension.
        program: The program's value, as a real number.
        float: The float model's value.
    """

    index: tuple[int, ...]
    program: float
    float: float


@dataclass(frozen=True)
class SiteError:
    """Error of one tensor.

    Attributes:
        name: Name of the tensor and of the step that writes it.
        operator: Class name of its integer operator.
        sqnr_db: SQNR against the float model, in dB: the errors of all steps so far.
        own_sqnr_db: SQNR against the float step on the program's inputs, in dB: the error of this step alone.
        beyond_grid: Percent of the values that the grid cannot represent, because they are too large or too small;
            None for tensors without a grid.
        worst: The value with the largest difference between program and float model.
    """

    name: str
    operator: str
    sqnr_db: float
    own_sqnr_db: float
    beyond_grid: float | None
    worst: Place


def site_errors(
    program: IntegerProgram, model: FloatModel, pixels: NDArray[np.uint8], threads: int | None = None
) -> list[SiteError]:
    """Compare every tensor of a program with the float model, in the order of execution.

    Hidden channels of the float model are sorted as in the program. Softmax codes are compared as probabilities.
    Masked scores, and nodes that the float model does not have, such as dense heads, are left out.

    Args:
        program: The program.
        model: The float model that it was made from.
        pixels: One photo, uint8 [H, W, 3].
        threads: Number of threads of the engine.

    Raises:
        ModelError: The program is not made from a model of this shape.
    """
    steps = FloatSteps(model.module, program.maps)
    nodes = {node.name: node for node in program.nodes}
    shared = steps.blueprint.steps
    heads = {each.name for each in program.maps if each.layer is None}
    same = {step.name for step in shared} == nodes.keys() - heads
    if not same or any(program.tensors[step.name].shape != step.shape for step in shared):
        raise ModelError(
            f"{model.source}: its layers are not those of the program, so it is not the model that was quantized; "
            "name the right one with --model"
        )
    photo = pixels[None]
    with torch.inference_mode():
        for step in shared:
            if step.layer == "fc1":
                steps.sort_hidden(step, hidden_order(program, step, steps))
        exact = steps.run(photo)
        stored = fastest(program, threads).run(photo, list(nodes))
        ours: dict[str, Tensor] = {PIXELS: torch.from_numpy(photo)}
        for name in nodes:
            ours[name] = torch.from_numpy(real_values(program, name, stored[name])).float()
        found = []
        for step in shared:
            own = steps.step(step, *(ours[name] for name in step.inputs))
            spec = program.tensors[step.name]
            share = None if isinstance(nodes[step.name].operator, Softmax) else beyond_grid(spec, own)
            found.append(site_error(step, exact[step.name], ours[step.name], own, share))
    return found


def site_error(step: Step, exact: Tensor, ours: Tensor, own: Tensor, beyond: float | None) -> SiteError:
    """Return the error of one tensor. Places where the float model has minus infinity do not count.

    Args:
        step: The step that writes the tensor.
        exact: Values of the float model, float32 [1, ...].
        ours: Values of the program.
        own: Values of the float step on the program's inputs.
        beyond: Percent of the values beyond the grid, or None.
    """
    finite = torch.isfinite(exact)
    difference = torch.where(finite, (ours - exact).abs(), -1.0)
    index = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))
    worst = Place(index[1:], float(ours[index]), float(exact[index]))
    return SiteError(
        step.name,
        step.operator,
        round(sqnr_db(exact[finite], ours[finite]), 2),
        round(sqnr_db(own[finite], ours[finite]), 2),
        beyond,
        worst,
    )


def real_values(program: IntegerProgram, name: str, stored: NDArray) -> NDArray[np.float64]:
    """Convert a tensor of the program to real numbers; softmax codes to probabilities."""
    node = program.node(name)
    if not isinstance(node.operator, Softmax):
        return program.tensors[name].real(stored)
    reader = next(each.operator for each in program.of_kind(AttentionValues) if name in each.inputs)
    assert isinstance(reader, AttentionValues)
    weights = reader.weights_of(stored).astype(np.float64)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def beyond_grid(spec: TensorSpec, values: Tensor) -> float | None:
    """Return the percentage of real values that are more than half a step outside a tensor's grid; None without one."""
    if spec.bits > WIDEST_GRID:
        return None
    low, high = (spec.real(np.full(1, end)) for end in spec.limits)
    half = np.ldexp(0.5, spec.exponent.astype(np.int32))
    x = values.double().numpy()
    return round(100 * float(((x > high + half) | (x < low - half)).mean()), 3)


def hidden_order(program: IntegerProgram, step: Step, steps: FloatSteps) -> Tensor:
    """Find which hidden channel of the float model each hidden channel of the program is: int64 [hidden].

    The quantizer sorts hidden channels so that neighbours can share an activation table. The rows of ``fc1`` tell them
    apart: each row of the program resembles one row of the float model most.

    Args:
        program: The program.
        step: The step of ``fc1``.
        steps: The float model.
    """
    operator = program.node(step.name).operator
    assert isinstance(operator, Linear)
    source = program.tensors[step.inputs[0]]
    exponents = operator.accumulator_exponent.astype(np.int32)[:, None] - source.exponent.astype(np.int32)
    ours = torch.from_numpy(np.ldexp(operator.weight.astype(np.float64), exponents))
    exact = steps.folded(step).layers["fc1"].weight.double()
    likeness = torch.nn.functional.normalize(ours, dim=1) @ torch.nn.functional.normalize(exact, dim=1).T
    order = likeness.argmax(dim=1)
    if len(order.unique()) < len(order):
        # Channels that are nearly alike: the assignment with the largest total likeness.
        from scipy.optimize import linear_sum_assignment

        order = torch.from_numpy(linear_sum_assignment(-likeness.numpy())[1])
    return order


def first_below(sites: list[SiteError], decibels: float) -> SiteError | None:
    """Return the first tensor whose SQNR against the float model is below a limit, or None."""
    return next((site for site in sites if site.sqnr_db < decibels), None)
