"""Compilation of a program with TorchInductor, segment by segment.

A segment begins and ends where a single tensor is alive: at the residual stream. Segments of equal structure share one
compiled function, which takes the parameters as arguments, so a ViT of any depth compiles few functions. All arithmetic
is that of the kernels; TorchInductor fuses it around the matrix products.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import Tensor

from p2vit.engine.torch.kernels import Parameters, compute
from p2vit.program.graph import PIXELS, IntegerProgram, Node

Forward = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Segment:
    """Consecutive nodes.

    Attributes:
        nodes: The nodes.
        inputs: Names of the tensors that the segment reads from earlier segments.
        outputs: Names of the tensors that later segments read, and of results.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


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
    wanted = {source for each in later for node in each for source in node.inputs} | {*program.results}
    return Segment(tuple(group), tuple(read), tuple(node.name for node in group if node.name in wanted))


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
            self._plans[size] = self._compile(pixels)
        live = {PIXELS: pixels}
        results = {}
        for segment, (function, constants) in zip(self.segments, self._plans[size], strict=True):
            outputs = function(*(live[name] for name in segment.inputs), *constants)
            made = dict(zip(segment.outputs, outputs, strict=True))
            # What a segment reads is not needed after it: a single tensor is alive at its end, or a result.
            live = {name: live[name] for name in live if name not in segment.inputs} | made
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

        def forward(*tensors: Tensor) -> list[Tensor]:
            live = dict(zip(segment.inputs, tensors, strict=False))
            parameters = {node.name: Parameters(node.operator, tensors[0].device) for node in segment.nodes}
            for node in segment.nodes:
                parameters[node.name].values.update(self.parameters[node.name].values)
            for (node_name, key), tensor in zip(names, tensors[len(inputs) :], strict=True):
                parameters[node_name].values[key] = tensor
            for node in segment.nodes:
                live[node.name] = compute(
                    node.operator, [live[source] for source in node.inputs], parameters[node.name]
                )
            return [live[name] for name in segment.outputs]

        arguments: list[Any] = [*inputs, *constants]
        return compile_graph(make_fx(forward)(*arguments), arguments)

    def _tensor_names(self, segment: Segment) -> list[tuple[str, Hashable]]:
        """Return (node, key) of each parameter tensor of a segment, in an order that depends only on the structure."""
        return [
            (node.name, key)
            for node in segment.nodes
            for key, value in sorted(
                self.parameters[node.name].values.items(), key=lambda item: repr(item[0])
            )
            if isinstance(value, Tensor)
        ]

    def _structure(self, segment: Segment) -> Hashable:
        """Return everything that the code of a segment depends on, apart from the layout of its tensors."""
        place = {
            name: at for at, name in enumerate((*segment.inputs, *(node.name for node in segment.nodes)))
        }
        nodes = tuple(
            (
                type(node.operator),
                tuple(_static(getattr(node.operator, each.name)) for each in fields(node.operator)),
                tuple(
                    (key, "tensor" if isinstance(value, Tensor) else value)
                    for key, value in sorted(
                        self.parameters[node.name].values.items(), key=lambda item: repr(item[0])
                    )
                ),
                tuple(place[source] for source in node.inputs),
            )
            for node in segment.nodes
        )
        return nodes, tuple(place[name] for name in segment.outputs)


def _static(value: Any) -> Hashable:
    """Return the part of a parameter that the code depends on: shape and dtype of an array, otherwise its value."""
    return (value.shape, value.dtype.str) if isinstance(value, np.ndarray) else value


def _layout(tensor: Tensor) -> Hashable:
    """Return shape, strides and dtype of a tensor."""
    return tuple(tensor.shape), tensor.stride(), tensor.dtype
