"""Whole operators through their hardware modules: beats from an operator and its inputs, and the outputs back.

Each driver uses one small configuration, which is compiled once and cached, and takes the operators that fit it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.add import AddUnit
from p2vit.hdl.modules.affine import AffineUnit
from p2vit.hdl.modules.array import column_marks, joined
from p2vit.hdl.modules.attention_values import ShifterArray
from p2vit.hdl.modules.attention_values_division import Reciprocal, RowDivision
from p2vit.hdl.modules.layernorm import LayerNormUnit
from p2vit.hdl.modules.lookup import LookupUnit
from p2vit.hdl.modules.mac_array import MacArray, pack_weights
from p2vit.hdl.modules.multiply import MultiplyUnit
from p2vit.hdl.modules.requantize import Requantizer
from p2vit.hdl.modules.rotary import RotaryUnit
from p2vit.hdl.modules.softmax import SoftmaxUnit
from p2vit.hdl.modules.tokens import AssembleUnit, SumUnit
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    LayerNorm,
    Linear,
    Lookup,
    Multiply,
    Operator,
    Rotary,
    Scores,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import rsqrt_table

Tensors = tuple[np.ndarray, ...]


@cache
def simulation(make: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, ModuleSimulation]:
    """A module and its simulation, compiled once."""
    module = make(*arguments, **options)
    return module, ModuleSimulation(module, module.key)


def run(
    simulated: tuple[Any, ModuleSimulation], inputs: Any, counts: dict[str, int]
) -> dict[str, np.ndarray]:
    """Fields of the output stream ``o``; inputs and outputs stall now and then."""
    return simulated[1].run(inputs, counts, seed=1, stall=0.2).outputs["o"]


def in_beats(x: np.ndarray, width: int) -> np.ndarray:
    """[tokens, C] → [beats, width], each token padded with zeros to whole beats."""
    padded = np.zeros((len(x), -(-x.shape[1] // width) * width), np.int64)
    padded[:, : x.shape[1]] = x
    return padded.reshape(-1, width)


def out_of_beats(y: np.ndarray, tokens: int, channels: int) -> np.ndarray:
    """The inverse of :func:`in_beats`."""
    return y.reshape(tokens, -1)[:, :channels]


def spread(parameter: np.ndarray, like: np.ndarray, width: int) -> np.ndarray:
    """A parameter per channel, for every token."""
    return in_beats(np.broadcast_to(parameter.astype(np.int64), like.shape), width)


def add(operator: Add, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    unit = simulation(AddUnit, 3)
    names = ("left_a", "left_b", "shift")
    beats = {"a": in_beats(a, 3), "b": in_beats(b, 3)}
    beats |= {name: spread(getattr(operator, name), a, 3) for name in names}
    count = len(beats["a"])
    beats |= {"narrow": np.full(count, operator.output_bits == 8), "last": np.zeros(count)}
    return out_of_beats(run(unit, {"i": beats}, {"o": count})["y"], *a.shape)


def affine(operator: Affine, x: np.ndarray) -> np.ndarray:
    unit = simulation(AffineUnit, 3, output_bits=16)
    beats = {"x": in_beats(x, 3)}
    beats |= {name: spread(getattr(operator, name), x, 3) for name in ("gain", "bias", "shift")}
    count = len(beats["x"])
    beats |= {"narrow": np.full(count, operator.output_bits == 8), "last": np.zeros(count)}
    return out_of_beats(run(unit, {"i": beats}, {"o": count})["y"], *x.shape)


def rotary(operator: Rotary, x: np.ndarray) -> np.ndarray:
    unit = simulation(RotaryUnit, 4, output_bits=16)
    cosine, sine = operator.tables(x.shape[1])
    beats = {"x": in_beats(x, 4), "cosine": in_beats(cosine, 2), "sine": in_beats(sine, 2)}
    beats["shift"] = spread(operator.shift, x, 4)
    count = len(beats["x"])
    beats |= {"narrow": np.full(count, operator.output_bits == 8), "last": np.zeros(count)}
    return out_of_beats(run(unit, {"i": beats}, {"o": count})["y"], *x.shape)


def multiply(operator: Multiply, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    unit = simulation(MultiplyUnit, 3, output_bits=16)
    beats = {"a": in_beats(a, 3), "b": in_beats(b, 3)}
    beats |= {name: spread(getattr(operator, name), a, 3) for name in ("offset", "shift")}
    count = len(beats["a"])
    beats |= {"narrow": np.full(count, operator.output_bits == 8), "last": np.zeros(count)}
    return out_of_beats(run(unit, {"i": beats}, {"o": count})["y"], *a.shape)


def assemble(operator: AssembleTokens, x: np.ndarray) -> np.ndarray | None:
    if operator.output_bits != 16:
        return None
    unit = simulation(AssembleUnit, 3)
    constants = [in_beats(part, 3) for part in (operator.prefix, operator.position)]
    prefix = np.repeat([1, 0], [len(part) for part in constants])
    inputs = {"constants": {"c": np.concatenate(constants), "prefix": prefix}, "x": {"x": in_beats(x, 3)}}
    y = run(unit, inputs, {"o": len(prefix)})["y"]
    return out_of_beats(y, len(operator.prefix) + len(x), x.shape[1])


def total(operator: SumTokens, x: np.ndarray) -> np.ndarray | None:
    depth = -(-x.shape[1] // 3)
    if depth > 3:
        return None
    unit = simulation(SumUnit, 3, depth=3, output_bits=16)
    part = x[operator.first : operator.first + operator.count]
    token = np.repeat(np.arange(operator.count), depth)
    beats = {
        "x": in_beats(part, 3),
        "shift": spread(operator.shift, part, 3),
        "narrow": np.full(len(token), operator.output_bits == 8),
        "last": np.tile(np.arange(depth) == depth - 1, operator.count),
        "first": token == 0,
        "final": token == operator.count - 1,
    }
    return out_of_beats(run(unit, {"i": beats}, {"o": depth})["y"], 1, x.shape[1])


def linear_through(
    unit: tuple[Any, ModuleSimulation], layer: Linear, x: np.ndarray, unsigned: bool = False
) -> tuple[np.ndarray, Any]:
    """int32 accumulators of a linear layer on a MAC array, [tokens, outputs], and the run.

    Args:
        unit: The array and its simulation.
        layer: Weights and bias.
        x: [tokens, inputs].
        unsigned: Whether these are unsigned codes.
    """
    module = unit[0]
    columns = pack_weights(layer.weight, layer.weight_bits, module.lanes)
    wide = 2 if layer.weight_bits <= 4 else 1
    steps = columns.shape[1]
    bias = np.zeros((len(columns), 2), np.int64)
    bias.ravel()[: len(layer.bias)] = layer.bias if wide == 2 else 0
    if wide == 1:
        bias[:, 0] = layer.bias
    rows, weights = [], []
    tokens = -(-len(x) // module.lines) * module.lines
    padded = np.zeros((tokens, steps * module.lanes), np.int64)
    padded[: len(x), : x.shape[1]] = x
    for group in padded.reshape(-1, module.lines, steps, module.lanes):
        rows.append(module.row_sample(group & 255))
        count = len(columns) * steps
        weights.append(
            {
                "w": columns.reshape(count, module.lanes),
                "bias": np.repeat(bias, steps, axis=0),
                "narrow": np.full(count, wide - 1),
                "unsigned_rows": np.full(count, int(unsigned)),
                **column_marks(len(columns), steps),
            }
        )
    inputs = {"rows": joined(rows), "weights": joined(weights)}
    done = unit[1].run(inputs, {"o": len(rows) * len(columns)})
    acc = done.outputs["o"]["acc"].reshape(len(rows), len(columns), 2, module.lines)[:, :, :wide]
    return acc.transpose(0, 3, 1, 2).reshape(tokens, -1)[: len(x), : len(layer.bias)], done


def products(layer: Linear, x: np.ndarray, unsigned: bool = False) -> np.ndarray | None:
    """int32 accumulators of a linear layer, [tokens, outputs]; None where rows are too long."""
    unit = simulation(MacArray, 3, 5, depth=3)
    if x.shape[1] > unit[0].lanes * unit[0].depth:
        return None
    return linear_through(unit, layer, x, unsigned)[0]


def linear(operator: Linear, x: np.ndarray) -> np.ndarray | None:
    accumulator = products(operator, x)
    if accumulator is None or operator.output_bits == 32:
        return accumulator
    unit = simulation(Requantizer, 3, output_bits=16, least=-31)
    beats = {"x": in_beats(accumulator, 3), "shift": spread(operator.shift, accumulator, 3)}
    count = len(beats["x"])
    beats |= {"narrow": np.full(count, operator.output_bits == 8), "last": np.zeros(count)}
    return out_of_beats(run(unit, {"i": beats}, {"o": count})["y"], *accumulator.shape)


def scores(operator: Scores, q: np.ndarray, k: np.ndarray) -> np.ndarray | None:
    """Queries stand in the array, keys stream by like weights."""
    if operator.windows > 1:
        return None
    heads = []
    for head in range(operator.heads):
        part = slice(head * operator.head_dim, (head + 1) * operator.head_dim)
        none = np.zeros(len(k), np.int32)
        found = products(Linear(k[:, part], none, none.astype(np.int8), 8, 32), q[:, part])
        if found is None:
            return None
        heads.append(found)
    return np.stack(heads)


def softmax(operator: Softmax, scores: np.ndarray) -> np.ndarray | None:
    if scores.size > 2000:
        return None
    width = 4 if operator.form == "linear" else 5
    module, _ = unit = simulation(SoftmaxUnit, width, form=operator.form)
    parts = [
        module.row_beats(row.astype(np.int64), int(shift))
        for head, shift in zip(scores, operator.shift, strict=True)
        for row in head
    ]
    inputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    keys = scores.shape[-1]
    beats = -(-keys // width)
    code = run(unit, {"i": inputs}, {"o": len(parts) * beats})["code"]
    return code.reshape(len(parts), -1)[:, :keys].reshape(scores.shape)


def weighted(operator: AttentionValues, codes: np.ndarray, v: np.ndarray) -> np.ndarray | None:
    """Σ p·v of one head, [queries, channels]: products of codes, or shifts and adds."""
    if operator.form == "linear":
        none = np.zeros(v.shape[1], np.int32)
        return products(Linear(np.ascontiguousarray(v.T), none, none.astype(np.int8), 8, 32), codes, True)
    module, _ = unit = simulation(ShifterArray, 3, 5, depth=3)
    if codes.shape[1] > module.lanes * module.depth:
        return None
    steps = -(-codes.shape[1] // module.lanes)
    columns = np.zeros((v.shape[1], steps * module.lanes), np.int64)
    columns[:, : len(v)] = v.T
    groups = -(-len(codes) // module.lines)
    held = np.zeros((groups * module.lines, steps * module.lanes), np.int64)
    held[: len(codes), : codes.shape[1]] = codes
    rows, values = [], []
    for group in held.reshape(groups, module.lines, steps, module.lanes):
        rows.append(module.row_sample(group) | {"guard": np.full(module.lines * steps, operator.guard)})
        values.append({"v": columns.reshape(-1, module.lanes), **column_marks(len(columns), steps)})
    acc = run(unit, {"rows": joined(rows), "values": joined(values)}, {"o": groups * len(columns)})["acc"]
    acc = acc.reshape(groups, len(columns), module.lines).transpose(0, 2, 1)
    return acc.reshape(-1, len(columns))[: len(codes)]


def attention_values(operator: AttentionValues, codes: np.ndarray, v: np.ndarray) -> np.ndarray | None:
    """The product, one reciprocal per row, and the division."""
    if operator.windows > 1:
        return None
    width, out = v.shape[1] // operator.heads, []
    for head in range(operator.heads):
        part = slice(head * width, (head + 1) * width)
        accumulator = weighted(operator, codes[head], v[:, part])
        if accumulator is None:
            return None
        row_sums = operator.weights_of(codes[head]).sum(axis=1)
        found = run(simulation(Reciprocal), {"i": {"total": row_sums}}, {"o": len(row_sums)})
        unit = simulation(RowDivision, 1, output_bits=16)
        count = accumulator.size
        beats = {
            "acc": accumulator.reshape(count, 1),
            "r": np.repeat(found["r"], width).reshape(count, 1),
            "n": np.repeat(found["n"], width).reshape(count, 1),
            "shift": np.tile(operator.shift[part].astype(np.int64), len(row_sums)).reshape(count, 1),
            "narrow": np.full(count, operator.output_bits == 8),
            "last": np.zeros(count),
        }
        out.append(run(unit, {"i": beats}, {"o": count})["y"].reshape(accumulator.shape))
    return np.concatenate(out, axis=1)


def layernorm(operator: LayerNorm, x: np.ndarray) -> np.ndarray | None:
    options = {"output_bits": operator.output_bits, "input_bits": operator.input_bits}
    if operator.channels != 13 or options not in ({"output_bits": 8, "input_bits": 16},):
        return None
    assert np.array_equal(operator.table, rsqrt_table(13)[0])
    module, _ = unit = simulation(LayerNormUnit, 13, 4)
    inputs = module.row_beats(
        x, operator.input_shift, operator.shift, operator.epsilon, operator.epsilon_shift
    )
    return out_of_beats(run(unit, inputs, {"o": len(x) * module.beats})["y"], *x.shape)


def lookup(operator: Lookup, x: np.ndarray) -> np.ndarray | None:
    groups = 3
    if operator.groups > groups:
        return None
    unit = simulation(LookupUnit, 3, groups=groups)
    tables = np.zeros((groups, 256), np.int64)
    tables[: operator.groups] = operator.table
    address = np.arange(tables.size)
    load = {"address": address, "entry": tables.ravel(), "last": address == tables.size - 1}
    group = spread(operator.group_of(x.shape[1]), x, 3)
    beats = {"x": in_beats(x, 3), "group": group, "last": np.zeros(len(group))}
    return out_of_beats(run(unit, {"load": load, "i": beats}, {"o": len(group)})["y"], *x.shape)


#: Name → what computes an operator of one image; None where its size does not fit the configuration.
DRIVERS: dict[str, Callable[..., np.ndarray | None]] = {
    driver.__name__: driver
    for driver in (
        add, affine, rotary, multiply, assemble, total, linear, scores, softmax, attention_values, layernorm, lookup,
    )
}  # fmt: skip


def through(name: str, operator: Operator, *inputs: np.ndarray) -> np.ndarray | None:
    """An operator's output for one image, computed by its hardware; None where it does not fit."""
    return DRIVERS[name](operator, *inputs)
