"""Writes each step of the plan as C: the parameter object of its operator, and the call."""

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

#: dtype of a tensor → C constant of its storage type.
TYPES = {"int8": "P2VIT_INT8", "int16": "P2VIT_INT16", "int32": "P2VIT_INT32"}


@dataclass(frozen=True)
class CStep:
    """A step of the plan as C.

    Attributes:
        definition: Definition of its parameter object; empty if it has none.
        call: Statement that runs the step.
    """

    definition: str
    call: str


class Writer:
    """Writes the steps of a plan as C.

    Args:
        plan: The steps.
        parameters: Collects the constants.
    """

    def __init__(self, plan: Plan, parameters: Parameters) -> None:
        self.plan = plan
        self.parameters = parameters

    def write(self, step: Step) -> CStep:
        """Write one step.

        Raises:
            P2vitError: The operator has no C form.
        """
        writer = WRITERS.get(type(step.operator))
        if writer is None:
            raise P2vitError(f"node {step.name}: there is no C for operator {type(step.operator).__name__}")
        return writer(self, step, step.operator)

    def at(self, name: str, cast: str = "") -> str:
        """Return the C expression for the address of a tensor, with a cast before it."""
        address = "pixels" if name == PIXELS else f"(memory + {self.plan.offsets[name]})"
        return cast + address

    def scratch(self, cast: str) -> str:
        """Return the C expression for the address of the scratch memory, with a cast before it."""
        return f"{cast}(memory + {self.plan.scratch})"

    def spec(self, name: str) -> TensorSpec:
        """Return the shape, width and exponents of a tensor."""
        return self.plan.spec(name)

    def type(self, name: str) -> str:
        """Return the C constant for the storage type of a tensor."""
        return TYPES[self.spec(name).dtype.name]

    def array(self, step: Step, what: str, values: Any, dtype: str) -> str:
        """Add a constant array, and return its C name."""
        return self.parameters.array(step.name, what, np.asarray(values).astype(dtype))

    def channels(self, step: Step) -> int:
        """Return the number of channels of the step's output."""
        return self.spec(step.name).shape[-1]

    def rows(self, step: Step) -> int:
        """Return the number of tokens of the step's output."""
        return int(np.prod(self.spec(step.name).shape[:-1]))

    def call(self, step: Step, kind: str, fields: dict[str, Any], *arguments: str) -> CStep:
        """Return the parameter object of a step and the call of its operator.

        Args:
            step: The step.
            kind: Name of the operator in C, as in ``p2vit_linear`` and ``p2vit_linear_t``.
            fields: Field of the parameter object → C expression.
            arguments: C expressions of the arguments after the parameter object.
        """
        name = f"{identifier(step.name)}_op"
        values = ", ".join(f".{field} = {value}" for field, value in fields.items())
        definition = f"static const p2vit_{kind}_t {name} = {{{values}}};"
        return CStep(definition, f"p2vit_{kind}(&{name}, {', '.join(arguments)});")


def _patchify(w: Writer, step: Step, operator: Patchify) -> CStep:
    height, width, channels = w.spec(step.inputs[0]).shape
    fields = {"height": height, "width": width, "channels": channels, "patch": operator.patch_size}
    return w.call(step, "patchify", fields, w.at(step.inputs[0]), w.at(step.name, "(int8_t *)"))


def _linear(w: Writer, step: Step, operator: Linear) -> CStep:
    start, packed = w.parameters.weight(operator)
    fields = {
        "rows": w.rows(step),
        "inputs": operator.weight.shape[1],
        "outputs": operator.weight.shape[0],
        "weight": start,
        "packed": int(packed),
        "bias": w.array(step, "bias", operator.bias, "int32"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "type": w.type(step.name),
    }
    source = w.at(step.inputs[0], "(const int8_t *)")
    return w.call(step, "linear", fields, "weights", source, w.at(step.name), w.scratch("(int8_t *)"))


def _layernorm(w: Writer, step: Step, operator: LayerNorm) -> CStep:
    fields = {
        "rows": w.rows(step),
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
    return w.call(
        step, "layernorm", fields, w.at(step.inputs[0]), w.at(step.name), w.scratch("(int32_t *)(void *)")
    )


def _lookup(w: Writer, step: Step, operator: Lookup) -> CStep:
    fields = {
        "rows": w.rows(step),
        "channels": w.channels(step),
        "groups": operator.groups,
        "table": w.array(step, "table", operator.table, "int8"),
    }
    source, target = w.at(step.inputs[0], "(const int8_t *)"), w.at(step.name, "(int8_t *)")
    return w.call(step, "lookup", fields, source, target)


def _add(w: Writer, step: Step, operator: Add) -> CStep:
    first, second = step.inputs
    fields = {
        "rows": w.rows(step),
        "channels": w.channels(step),
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
    return w.call(step, "add", fields, w.at(first), w.at(second), w.at(step.name))


def _affine(w: Writer, step: Step, operator: Affine) -> CStep:
    fields = {
        "rows": w.rows(step),
        "channels": operator.gain.size,
        "gain": w.array(step, "gain", operator.gain, "int16"),
        "bias": w.array(step, "bias", operator.bias, "int32"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    return w.call(step, "affine", fields, w.at(step.inputs[0]), w.at(step.name))


def _rotary(w: Writer, step: Step, operator: Rotary) -> CStep:
    fields = {
        "rows": w.rows(step),
        "channels": w.spec(step.name).shape[-1],
        "pairs": operator.cosine.shape[1],
        "cosine": w.array(step, "cosine", operator.cosine, "int16"),
        "sine": w.array(step, "sine", operator.sine, "int16"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "each": int(operator.shift.size > 1),
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    return w.call(step, "rotary", fields, w.at(step.inputs[0]), w.at(step.name))


def _multiply(w: Writer, step: Step, operator: Multiply) -> CStep:
    first, second = step.inputs
    fields = {
        "rows": w.rows(step),
        "channels": w.spec(step.name).shape[-1],
        "offset": w.array(step, "offset", operator.offset, "int16"),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "each_offset": int(operator.offset.size > 1),
        "each_shift": int(operator.shift.size > 1),
        "type_b": w.type(second),
        "type": w.type(step.name),
    }
    gate = w.at(first, "(const int8_t *)")
    return w.call(step, "multiply", fields, gate, w.at(second), w.at(step.name))


def _attention(w: Writer, step: Step, operator: AttentionValues) -> CStep:
    scores, softmax, *rest = step.fused
    assert isinstance(scores, Scores)
    assert isinstance(softmax, Softmax)
    q, k, _ = step.inputs
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
    sources = [w.at(source, "(const int8_t *)") for source in step.inputs]
    return w.call(step, "attention", fields, *sources, w.at(step.name), w.scratch("(int32_t *)(void *)"))


def _assemble(w: Writer, step: Step, operator: AssembleTokens) -> CStep:
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
    return w.call(step, "assemble_tokens", fields, w.at(step.inputs[0]), w.at(step.name))


def _sum(w: Writer, step: Step, operator: SumTokens) -> CStep:
    fields = {
        "first": operator.first,
        "count": operator.count,
        "channels": w.channels(step),
        "shift": w.array(step, "shift", operator.shift, "int8"),
        "each": int(operator.shift.size > 1),
        "input": w.type(step.inputs[0]),
        "type": w.type(step.name),
    }
    return w.call(step, "sum_tokens", fields, w.at(step.inputs[0]), w.at(step.name))


def _gather(w: Writer, step: Step, operator: GatherTokens) -> CStep:
    source = w.spec(step.inputs[0])
    fields = {
        "rows": operator.index.shape[0],
        "side": operator.index.shape[1],
        "token_bytes": source.shape[-1] * source.dtype.itemsize,
        "index": w.array(step, "index", operator.index, "int32"),
        "fill": w.array(step, "fill", operator.fill, source.dtype.name),
    }
    return w.call(step, "gather_tokens", fields, w.at(step.inputs[0]), w.at(step.name))


def _select(w: Writer, step: Step, operator: SelectToken) -> CStep:
    size = w.channels(step) * w.spec(step.name).dtype.itemsize
    source = f"{w.at(step.inputs[0])} + {operator.index * size}"
    return CStep("", f"p2vit_copy({source}, {w.at(step.name)}, {size});")


def _constant(w: Writer, step: Step, operator: ConstantTokens) -> CStep:
    tokens = w.array(step, "tokens", operator.tokens, w.spec(step.name).dtype.name)
    return CStep("", f"p2vit_copy({tokens}, {w.at(step.name)}, {operator.tokens.nbytes});")


#: Operator class → function that writes its step; the function's third argument is an operator of that class.
WRITERS: dict[type[Operator], Callable[[Writer, Step, Any], CStep]] = {
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
