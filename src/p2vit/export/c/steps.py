"""Each step as C: the parameter object of its operator, and the call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.c.parameters import Parameters, identifier
from p2vit.export.c.plan import Plan, Step
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Multiply,
    Operator,
    Patchify,
    Rotary,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import squares_shift
from p2vit.program.graph import PIXELS, TensorSpec

TYPES = {"int8": "P2VIT_INT8", "int16": "P2VIT_INT16", "int32": "P2VIT_INT32"}


@dataclass(frozen=True)
class Written:
    """A step in C.

    Attributes:
        definition: Of its parameter object; empty where it needs none.
        call: The statement that runs it.
    """

    definition: str
    call: str


class Writer:
    """Writes the steps of a plan.

    Args:
        plan: The steps.
        parameters: Collects the constants.
    """

    def __init__(self, plan: Plan, parameters: Parameters) -> None:
        self.plan = plan
        self.parameters = parameters

    def write(self, step: Step) -> Written:
        """One step.

        Raises:
            P2vitError: there is no C for its operator.
        """
        writer = WRITERS.get(type(step.operator))
        if writer is None:
            raise P2vitError(f"node {step.name}: there is no C for operator {type(step.operator).__name__}")
        return writer(self, step)

    def at(self, name: str) -> str:
        """Where a tensor lies, as C."""
        if name == PIXELS:
            return "pixels"
        return f"(memory + {self.plan.offsets[name]})"

    @property
    def scratch(self) -> str:
        """The working row, as C."""
        return f"(memory + {self.plan.scratch})"

    def spec(self, name: str) -> TensorSpec:
        """What a tensor is."""
        return self.plan.spec(name)

    def type(self, name: str) -> str:
        """C name of a tensor's storage type."""
        return TYPES[self.spec(name).dtype.name]

    def array(self, step: Step, what: str, values: Any, dtype: str) -> str:
        """C name of a constant array."""
        return self.parameters.array(step.name, what, np.asarray(values).astype(dtype))

    def rows(self, name: str) -> int:
        """Tokens of a tensor [tokens, channels]."""
        return int(np.prod(self.spec(name).shape[:-1]))

    def object(self, step: Step, kind: str, fields: dict[str, Any]) -> tuple[str, str]:
        """(name, definition) of a parameter object."""
        name = f"{identifier(step.name)}_op"
        values = ", ".join(f".{field} = {value}" for field, value in fields.items())
        return name, f"static const p2vit_{kind}_t {name} = {{{values}}};"


def _patchify(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, Patchify)
    height, width, channels = w.spec(step.inputs[0]).shape
    name, text = w.object(
        step,
        "patchify",
        {"height": height, "width": width, "channels": channels, "patch": operator.patch_size},
    )
    return Written(text, f"p2vit_patchify(&{name}, {w.at(step.inputs[0])}, (int8_t *){w.at(step.name)});")


def _linear(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, Linear)
    start, packed = w.parameters.weight(operator)
    fields = {
        "rows": w.rows(step.name),
        "inputs": operator.weight.shape[1],
        "outputs": operator.weight.shape[0],
        "weight": start,
        "packed": int(packed),
        "bias": w.array(step, "bias", operator.bias, "int32"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "linear", fields)
    source = f"(const int8_t *){w.at(step.inputs[0])}"
    return Written(
        text, f"p2vit_linear(&{name}, weights, {source}, {w.at(step.name)}, (int8_t *){w.scratch});"
    )


def _layernorm(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, LayerNorm)
    fields = {
        "rows": w.rows(step.name),
        "channels": operator.channels,
        "input_shift": w.array(step, "input_shift", operator.input_shift, "int8"),
        "table": w.array(step, "table", operator.table, "uint16"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "epsilon": operator.epsilon,
        "epsilon_shift": operator.epsilon_shift,
        "squares_shift": squares_shift(operator.channels),
        "input_bits": operator.input_bits,
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "layernorm", fields)
    return Written(
        text,
        f"p2vit_layernorm(&{name}, {w.at(step.inputs[0])}, {w.at(step.name)}, (int32_t *)(void *){w.scratch});",
    )


def _lookup(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, Lookup)
    fields = {
        "rows": w.rows(step.name),
        "channels": w.spec(step.name).shape[-1],
        "groups": operator.groups,
        "table": w.array(step, "table", operator.table, "int8"),
    }
    name, text = w.object(step, "lookup", fields)
    source, target = w.at(step.inputs[0]), w.at(step.name)
    return Written(text, f"p2vit_lookup(&{name}, (const int8_t *){source}, (int8_t *){target});")


def _add(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, Add)
    first, second = step.inputs
    fields = {
        "rows": w.rows(step.name),
        "channels": w.spec(step.name).shape[-1],
        "left_a": w.array(step, "left_a", operator.left_a, "int8"),
        "left_b": w.array(step, "left_b", operator.left_b, "int8"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "each_a": int(operator.left_a.size > 1),
        "each_b": int(operator.left_b.size > 1),
        "each_shift": int(operator.shift.size > 1),
        "type_a": w.type(first),
        "type_b": w.type(second),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "add", fields)
    return Written(text, f"p2vit_add(&{name}, {w.at(first)}, {w.at(second)}, {w.at(step.name)});")


def _affine(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, Affine)
    fields = {
        "rows": w.rows(step.name),
        "channels": operator.gain.size,
        "gain": w.array(step, "gain", operator.gain, "int16"),
        "bias": w.array(step, "bias", operator.bias, "int32"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "affine", fields)
    return Written(text, f"p2vit_affine(&{name}, {w.at(step.inputs[0])}, {w.at(step.name)});")


def _rotary(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, Rotary)
    fields = {
        "rows": w.rows(step.name),
        "channels": w.spec(step.name).shape[-1],
        "pairs": operator.cosine.shape[1],
        "cosine": w.array(step, "cosine", operator.cosine, "int16"),
        "sine": w.array(step, "sine", operator.sine, "int16"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "each": int(operator.shift.size > 1),
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "rotary", fields)
    return Written(text, f"p2vit_rotary(&{name}, {w.at(step.inputs[0])}, {w.at(step.name)});")


def _multiply(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, Multiply)
    first, second = step.inputs
    fields = {
        "rows": w.rows(step.name),
        "channels": w.spec(step.name).shape[-1],
        "offset": w.array(step, "offset", operator.offset, "int16"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "each_offset": int(operator.offset.size > 1),
        "each_shift": int(operator.shift.size > 1),
        "type_b": w.type(second),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "multiply", fields)
    gate = f"(const int8_t *){w.at(first)}"
    return Written(text, f"p2vit_multiply(&{name}, {gate}, {w.at(second)}, {w.at(step.name)});")


def _attention(w: Writer, step: Step) -> Written:
    operator, (scores, softmax, *rest) = step.operator, step.fused
    assert isinstance(operator, AttentionValues)
    assert isinstance(scores, Scores)
    assert isinstance(softmax, Softmax)
    q, k, v = step.inputs
    shift = np.broadcast_to(softmax.shift, (operator.heads,))
    fields: dict[str, Any] = {
        "heads": operator.heads,
        "head_dim": scores.head_dim,
        "windows": operator.windows,
        "queries": w.spec(q).shape[0] // operator.windows,
        "keys": w.spec(k).shape[0] // operator.windows,
        "softmax_shift": w.array(step, "softmax_shift", shift, "int8"),
        "log2": int(operator.form == "log2"),
        "guard": operator.guard,
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "type": w.type(step.name),
    }
    if rest:
        (bias,) = rest
        assert isinstance(bias, ScoreBias)
        fields["bias"] = w.array(step, "score_bias", bias.bias, "int32")
        if bias.regions.size:
            fields["regions"] = w.array(step, "regions", bias.regions, "int8")
            fields["masked"] = w.array(step, "masked", bias.masked, "int32")
    name, text = w.object(step, "attention", fields)
    sources = ", ".join(f"(const int8_t *){w.at(source)}" for source in (q, k, v))
    call = f"p2vit_attention(&{name}, {sources}, {w.at(step.name)}, (int32_t *)(void *){w.scratch});"
    return Written(text, call)


def _assemble(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, AssembleTokens)
    dtype = w.spec(step.name).dtype.name
    fields = {
        "prefix_rows": operator.prefix.shape[0],
        "rows": operator.position.shape[0],
        "channels": operator.position.shape[1],
        "prefix": w.array(step, "prefix", operator.prefix, dtype) if operator.prefix.size else "NULL",
        "position": w.array(step, "position", operator.position, dtype),
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "assemble_tokens", fields)
    return Written(text, f"p2vit_assemble_tokens(&{name}, {w.at(step.inputs[0])}, {w.at(step.name)});")


def _sum(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, SumTokens)
    fields = {
        "first": operator.first,
        "count": operator.count,
        "channels": w.spec(step.name).shape[-1],
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "each": int(operator.shift.size > 1),
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    name, text = w.object(step, "sum_tokens", fields)
    return Written(text, f"p2vit_sum_tokens(&{name}, {w.at(step.inputs[0])}, {w.at(step.name)});")


def _gather(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, GatherTokens)
    source = w.spec(step.inputs[0])
    fields = {
        "rows": operator.index.shape[0],
        "side": operator.index.shape[1],
        "token_bytes": source.shape[-1] * source.dtype.itemsize,
        "index": w.array(step, "index", operator.index, "int32"),
        "fill": w.array(step, "fill", operator.fill, source.dtype.name),
    }
    name, text = w.object(step, "gather_tokens", fields)
    return Written(text, f"p2vit_gather_tokens(&{name}, {w.at(step.inputs[0])}, {w.at(step.name)});")


def _select(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, SelectToken)
    spec = w.spec(step.name)
    size = spec.shape[-1] * spec.dtype.itemsize
    source = f"{w.at(step.inputs[0])} + {operator.index * size}"
    return Written("", f"p2vit_copy({source}, {w.at(step.name)}, {size});")


def _constant(w: Writer, step: Step) -> Written:
    operator = step.operator
    assert isinstance(operator, ConstantTokens)
    tokens = w.array(step, "tokens", operator.tokens, w.spec(step.name).dtype.name)
    return Written("", f"p2vit_copy({tokens}, {w.at(step.name)}, {operator.tokens.nbytes});")


WRITERS: dict[type[Operator], Callable[[Writer, Step], Written]] = {
    Patchify: _patchify,
    Linear: _linear,
    LayerNorm: _layernorm,
    Lookup: _lookup,
    Add: _add,
    Affine: _affine,
    Rotary: _rotary,
    Multiply: _multiply,
    AttentionValues: _attention,
    AssembleTokens: _assemble,
    SumTokens: _sum,
    GatherTokens: _gather,
    SelectToken: _select,
    ConstantTokens: _constant,
}
