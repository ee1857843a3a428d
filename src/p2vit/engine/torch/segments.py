"""Compilation of a program with TorchInductor, segment by segment.

A segment begins and ends where a single tensor is alive: at the residual stream. Segments of equal structure share one
compiled function, which takes the parameters as arguments, so a ViT of any depth compiles few functions. All arithmetic
is that of the kernels; TorchInductor fuses it around the matrix products. Linear layers of the same input, such as
queries, keys and values, are computed with one product.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from p2vit.engine.torch.kernels import Parameters, compute
from p2vit.engine.torch.kernels.linear import requantized
from p2vit.engine.torch.kernels.products import ALIGNMENT, linear_product
from p2vit.numerics import Linear
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram, Node

#: Suffix of the name of linear layers that are computed together: the name of the first, and this.
TOGETHER = " and its siblings"
Forward = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Segment:
    """Consecutive nodes.

    Attributes:
        nodes: The nodes.
        inputs: Names of the tensors that the segment reads from earlier segments.
        outputs: Names of the tensors that later segments read, and of results.
        alive: Names of all tensors that later segments read.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    alive: frozenset[str]


def split(program: IntegerProgram) -> list[Segment]:
    """Cut a program after every node at which exactly one tensor is needed later."""
    last_use = {source: at for at, node in enumerate(program.nodes) for source in node.inputs}
    groups: list[list[Node]] = [[]]
    alive = {PIXELS}
    for at, node in enumerate(program.nodes):
        groups[-1].append(node)
        alive = {name for name in (*alive, node.name) if last_use.get(name, -1) > at}
        if len(alive) == 1:
            groups.append([])
    groups = _joined([group for group in groups if group])
    return [_segment(group, groups[at + 1 :], program) for at, group in enumerate(groups)]


def _joined(groups: list[list[Node]]) -> list[list[Node]]:
    """Join neighbouring groups that are single nodes or occur only once: the embedding and the head."""
    kinds = [tuple(type(node.operator) for node in group) for group in groups]
    joined: list[list[Node]] = []
    open_end = False
    for group, kind in zip(groups, kinds, strict=True):
        single = len(kind) == 1 or kinds.count(kind) == 1
        if single and open_end:
            joined[-1] += group
        else:
            joined.append(list(group))
        open_end = single
    return joined


def _segment(group: list[Node], later: list[list[Node]], program: IntegerProgram) -> Segment:
    """Return a group of nodes with the tensors that enter and leave it."""
    made = {node.name for node in group}
    read = dict.fromkeys(source for node in group for source in node.inputs if source not in made)
    alive = frozenset(source for each in later for node in each for source in node.inputs)
    wanted = alive | {*program.results}
    outputs = tuple(node.name for node in group if node.name in wanted)
    return Segment(tuple(group), tuple(read), outputs, alive)


class CompiledSegments:
    """Runs a program with compiled segments. The first batch of each size runs twice: uncompiled, and to compile."""

    def __init__(
        self, program: IntegerProgram, parameters: dict[str, Parameters], step_by_step: Forward
    ) -> None:
        """Take a program, the parameters of its nodes, and the function that runs it uncompiled."""
        self.program, self.parameters, self.step_by_step = program, parameters, step_by_step
        self.segments = split(program)
        self._functions: dict[Hashable, Callable[..., Any]] = {}
        self._plans: dict[int, list[tuple[Callable[..., Any], list[Tensor]]]] = {}

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Run a batch; see `TorchExecutor.on_device`."""
        size = len(pixels)
        if size not in self._plans:
            # This fills the parameters: a compiled function must not copy arrays or test products.
            self.step_by_step(pixels)
            for segment in self.segments:
                for group in sibling_layers(segment):
                    self._put_together(group, size)
            self._plans[size] = self._compile(pixels)
        live = {PIXELS: pixels}
        results = {}
        for segment, (function, constants) in zip(self.segments, self._plans[size], strict=True):
            outputs = function(*(live[name] for name in segment.inputs), *constants)
            made = dict(zip(segment.outputs, outputs, strict=True))
            live = {name: value for name, value in live.items() if name in segment.alive} | made
            results.update({name: made[name] for name in made if name in self.program.results})
        return {name: results[name] for name in self.program.results}

    def _compile(self, pixels: Tensor) -> list[tuple[Callable[..., Any], list[Tensor]]]:
        """Return function and parameter tensors of each segment, for batches of this size."""
        live, plan = {PIXELS: pixels}, []
        for segment in self.segments:
            inputs = [live[name] for name in segment.inputs]
            names = self._tensor_names(segment)
            constants = [self.parameters[node].values[key] for node, key in names]
            key = (self._structure(segment), tuple(_layout(tensor) for tensor in (*inputs, *constants)))
            if key not in self._functions:
                self._functions[key] = self._function(segment, inputs, names, constants)
            plan.append((self._functions[key], constants))
            live.update(zip(segment.outputs, self._functions[key](*inputs, *constants), strict=True))
        return plan

    def _function(
        self,
        segment: Segment,
        inputs: list[Tensor],
        names: list[tuple[str, Hashable]],
        constants: list[Tensor],
    ) -> Callable[..., Any]:
        """Compile a segment: a function of its inputs and its parameter tensors."""
        from torch._inductor import compile as compile_graph
        from torch.fx.experimental.proxy_tensor import make_fx

        siblings = {group[0].name: group for group in sibling_layers(segment)}

        def forward(*tensors: Tensor) -> list[Tensor]:
            live = dict(zip(segment.inputs, tensors, strict=False))
            parameters = {}
            for name in self._parameter_names(segment):
                parameters[name] = Parameters(self.parameters[name].operator, tensors[0].device)
                parameters[name].values.update(self.parameters[name].values)
            for (name, key), tensor in zip(names, tensors[len(inputs) :], strict=True):
                parameters[name].values[key] = tensor
            for node in segment.nodes:
                if node.name in siblings:
                    live.update(together(siblings[node.name], live[node.inputs[0]], parameters))
                elif node.name not in live:
                    live[node.name] = compute(
                        node.operator, [live[source] for source in node.inputs], parameters[node.name]
                    )
            return [live[name] for name in segment.outputs]

        arguments: list[Any] = [*inputs, *constants]
        return compile_graph(make_fx(forward)(*arguments), arguments)

    def _tensor_names(self, segment: Segment) -> list[tuple[str, Hashable]]:
        """Return (node, key) of each parameter tensor of a segment, in an order that depends only on the structure."""
        return [
            (name, key)
            for name in self._parameter_names(segment)
            for key, value in self._sorted_values(name)
            if isinstance(value, Tensor)
        ]

    def _parameter_names(self, segment: Segment) -> list[str]:
        """Return the names of a segment's parameters: of its nodes, and of layers that are computed together."""
        groups = [group[0].name + TOGETHER for group in sibling_layers(segment)]
        return [*(node.name for node in segment.nodes), *groups]

    def _sorted_values(self, name: str) -> list[tuple[Hashable, Any]]:
        """Return the items of a node's parameter values in an order that depends only on their keys."""
        return sorted(self.parameters[name].values.items(), key=lambda item: repr(item[0]))

    def _put_together(self, group: list[Node], size: int) -> None:
        """Store the weights of linear layers side by side, and test their product for a batch size."""
        device = self.parameters[group[0].name].device
        parameters = self.parameters.setdefault(
            group[0].name + TOGETHER, Parameters(group[0].operator, device)
        )
        weights = [self.parameters[node.name].values["transposed"] for node in group]
        parameters.made("transposed", lambda: torch.cat([each.t() for each in weights]).t())
        shape = self.program.tensors[group[0].inputs[0]].shape
        rows = size * int(np.prod(shape[:-1]))
        linear_product(torch.zeros(rows, shape[-1], dtype=torch.int8, device=device), wide(group), parameters)

    def _structure(self, segment: Segment) -> Hashable:
        """Return everything that the code of a segment depends on, apart from the layout of its tensors."""
        place = {
            name: at for at, name in enumerate((*segment.inputs, *(node.name for node in segment.nodes)))
        }
        nodes = tuple(
            (
                type(node.operator),
                tuple(_static(getattr(node.operator, each.name)) for each in fields(node.operator)),
                tuple(place[source] for source in node.inputs),
            )
            for node in segment.nodes
        )
        values = tuple(
            (key, "tensor" if isinstance(value, Tensor) else value)
            for name in self._parameter_names(segment)
            for key, value in self._sorted_values(name)
        )
        return nodes, values, tuple(place[name] for name in segment.outputs)


def sibling_layers(segment: Segment) -> list[list[Node]]:
    """Return the groups of linear layers that read the same tensor, such as queries, keys and values."""
    readers: dict[str, list[Node]] = {}
    for node in segment.nodes:
        if isinstance(node.operator, Linear) and len(node.operator.weight) % ALIGNMENT == 0:
            readers.setdefault(node.inputs[0], []).append(node)
    return [group for group in readers.values() if len(group) > 1]


def wide(group: list[Node]) -> IntArray:
    """Return an array of the shape of the layers' weights side by side. It takes no memory."""
    weights = [node.operator.weight for node in group if isinstance(node.operator, Linear)]
    return np.broadcast_to(np.int8(0), (sum(map(len, weights)), weights[0].shape[1]))


def together(group: list[Node], x: Tensor, parameters: dict[str, Parameters]) -> dict[str, Tensor]:
    """Compute several linear layers of the same input with one product: name → output."""
    operators = [node.operator for node in group if isinstance(node.operator, Linear)]
    product = linear_product(x.reshape(-1, x.shape[-1]), wide(group), parameters[group[0].name + TOGETHER])
    return {
        node.name: requantized(operator, part.clone(), parameters[node.name]).view(*x.shape[:-1], -1)
        for node, operator, part in zip(
            group, operators, product.split([len(each.weight) for each in operators], dim=1), strict=True
        )
    }


def _static(value: Any) -> Hashable:
    """Return the part of a parameter that the code depends on: shape and dtype of an array, otherwise its value."""
    return (value.shape, value.dtype.str) if isinstance(value, np.ndarray) else value


def _layout(tensor: Tensor) -> Hashable:
    """Return shape, strides and dtype of a tensor."""
    return tuple(tensor.shape), tensor.stride(), tensor.dtype
