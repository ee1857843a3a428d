"""Check the structure of a program: names, order of the nodes, shapes and widths."""

import re
from math import prod

import numpy as np

from p2vit.numerics import AttentionValues, GatherTokens, Softmax
from p2vit.program.graph import PIXELS, IntegerProgram, Node, TensorSpec, output_spec, width_name
from p2vit.program.maps import map_problems

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*\Z")
#: Limits far above any Vision Transformer, but low enough that a damaged size cannot exhaust the memory.
MAX_NAME, MAX_NODES = 200, 1 << 16
MAX_SIDE, MAX_LAST_AXIS, MAX_ELEMENTS = 1 << 12, 1 << 20, 1 << 31


def structure_problems(program: IntegerProgram) -> list[str]:
    """List everything that is wrong with the structure of a program, as texts; empty if nothing is."""
    if PIXELS not in program.tensors:
        return [f"there is no tensor {PIXELS!r}; a program starts from its pixels"]
    if not program.nodes or len(program.nodes) > MAX_NODES:
        return [f"there are {len(program.nodes)} nodes; allowed are 1 to {MAX_NODES}"]
    problems = pixel_problems(program)
    known: dict[str, TensorSpec] = {PIXELS: program.pixels}
    kinds: dict[str, Node] = {}
    for node in program.nodes:
        problems += node_problems(node, known, program.tensors.get(node.name), kinds)
        if node.name not in program.tensors or any(name not in known for name in node.inputs):
            return problems  # later nodes would only repeat the problem
        known[node.name] = program.tensors[node.name]
        kinds[node.name] = node
    spare = sorted(set(program.tensors) - set(known))
    if spare:
        problems.append(f"tensors {spare[:5]} are written by no node")
    for role, name in (("output", program.output), ("feature", program.feature)):
        if name not in kinds:
            problems.append(f"the {role} is {name!r}, which no node writes")
    problems += map_problems(program.maps, {name: known[name] for name in kinds})
    if not problems and program.classes:
        logits = prod(program.tensors[program.output].shape)
        if len(program.classes) != logits:
            problems.append(f"there are {len(program.classes)} classes; the output has {logits} numbers")
    return problems


def pixel_problems(program: IntegerProgram) -> list[str]:
    """Check the input, which must be uint8 [H, W, 3] of the size that the preprocessing makes."""
    spec = program.pixels
    shape = list(spec.shape)
    if len(shape) != 3 or shape[2] != 3 or not all(1 <= side <= MAX_SIDE for side in shape[:2]):
        return [f"the pixels have shape {shape}; allowed is [height, width, 3] with sides of 1 to {MAX_SIDE}"]
    problems = []
    if (spec.bits, spec.signed) != (8, False):
        problems.append(f"the pixels are {width_name(spec.bits, spec.signed)}; expected uint8")
    if tuple(program.preprocessing.image_size) != spec.shape[:2]:
        problems.append(
            f"preprocessing makes images of {list(program.preprocessing.image_size)}; "
            f"the program takes {shape[:2]}"
        )
    return problems


def node_problems(
    node: Node, known: dict[str, TensorSpec], recorded: TensorSpec | None, earlier: dict[str, Node]
) -> list[str]:
    """Check one node.

    Args:
        node: The node.
        known: Tensors that earlier nodes write.
        recorded: Spec that the program records for the node's output, or None.
        earlier: Earlier nodes by name.

    Returns:
        Texts of all problems.
    """
    if len(node.name) > MAX_NAME or not NAME.match(node.name):
        return [
            f"node {node.name[:MAX_NAME]!r}: a name must have 1 to {MAX_NAME} letters, digits, '_', '-' and '.', "
            "and must not start with '-' or '.'"
        ]
    if node.name in known:
        return [f"node {node.name}: the name is taken"]
    if recorded is None:
        return [f"node {node.name}: no tensor of that name is recorded"]
    for source in node.inputs:
        if source not in known:
            return [f"node {node.name}: reads {source!r}, which no earlier node writes"]
    try:
        spec = output_spec(node, known, recorded.exponent, recorded.offset)
    except ValueError as error:
        return [str(error)]
    problems = []
    if (spec.shape, spec.bits, spec.signed) != (recorded.shape, recorded.bits, recorded.signed):
        problems.append(
            f"node {node.name}: writes {width_name(spec.bits, spec.signed)} {list(spec.shape)}; "
            f"recorded is {width_name(recorded.bits, recorded.signed)} {list(recorded.shape)}"
        )
    if not 1 <= prod(spec.shape) <= MAX_ELEMENTS or spec.shape[-1] > MAX_LAST_AXIS:
        problems.append(
            f"node {node.name}: writes {list(spec.shape)}; allowed are 1 to {MAX_ELEMENTS} numbers, "
            f"up to {MAX_LAST_AXIS} of them along the last axis"
        )
    if np.abs(np.asarray(recorded.offset, np.int64)).max(initial=0) > 1 << 15:
        problems.append(f"node {node.name}: offset is {recorded.offset}; allowed are −32768 to 32768")
    if isinstance(node.operator, GatherTokens):
        low, high = known[node.inputs[0]].limits
        least, most = int(node.operator.fill.min()), int(node.operator.fill.max())
        if least < low or most > high:
            problems.append(
                f"node {node.name}: fill spans {least}..{most}; the tokens it reads hold {low}..{high}"
            )
    if isinstance(node.operator, AttentionValues):
        # A softmax gives each row's maximum the largest code, so the sum in the division is above 0.
        softmax = earlier.get(node.inputs[0])
        if (
            softmax is None
            or not isinstance(softmax.operator, Softmax)
            or softmax.operator.form != node.operator.form
        ):
            problems.append(
                f"node {node.name}: its codes come from {node.inputs[0]!r}; "
                f"expected a Softmax of form {node.operator.form!r}"
            )
    return problems
