"""The plan of a program in C: its steps, and the arena offset of each tensor."""

from dataclasses import dataclass

from p2vit.errors import P2vitError
from p2vit.export.c.arena import Lifetime, aligned, assign_offsets
from p2vit.numerics import (
    Add,
    AttentionValues,
    LayerNorm,
    Linear,
    Lookup,
    Operator,
    ScoreBias,
    Scores,
    Softmax,
)
from p2vit.program.graph import PIXELS, IntegerProgram, Node, TensorSpec

#: Largest weight width that is stored two in a byte.
PACKED_BITS = 4


@dataclass(frozen=True)
class Step:
    """One call of an operator.

    Attributes:
        node: Node whose tensor the step writes; for attention, the last of the fused nodes.
        operator: Operator of that node.
        inputs: Names of the tensors that the step reads.
        fused: For attention: the operators of scores and softmax, and the score bias if there is one.
    """

    node: Node
    operator: Operator
    inputs: tuple[str, ...]
    fused: tuple[Operator, ...] = ()

    @property
    def name(self) -> str:
        """Name of the tensor that the step writes."""
        return self.node.name


@dataclass(frozen=True)
class Plan:
    """Steps and memory of a program in C.

    Attributes:
        program: The program.
        steps: Steps in execution order.
        offsets: Tensor name → offset in the arena, in bytes.
        scratch: Offset of the scratch memory of the operators, in bytes.
        arena_bytes: Size of the arena with the scratch memory, in bytes.
    """

    program: IntegerProgram
    steps: tuple[Step, ...]
    offsets: dict[str, int]
    scratch: int
    arena_bytes: int

    def spec(self, name: str) -> TensorSpec:
        """Return the shape, width and exponents of a tensor."""
        return self.program.tensors[name]


def tensor_bytes(spec: TensorSpec) -> int:
    """Return the bytes of a tensor of one image."""
    count = 1
    for side in spec.shape:
        count *= side
    return count * spec.dtype.itemsize


def fuse(program: IntegerProgram) -> list[Step]:
    """Convert nodes to steps. Scores, bias, softmax and values of an attention become one step.

    Raises:
        P2vitError: Scores or softmax codes have a reader outside their attention.
    """
    readers: dict[str, list[Node]] = {}
    for node in program.nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node)
    inner = (Scores, ScoreBias, Softmax)
    steps = []
    for node in program.nodes:
        if isinstance(node.operator, inner):
            only = readers.get(node.name, [])
            follows = (ScoreBias, Softmax) if not isinstance(node.operator, Softmax) else (AttentionValues,)
            if len(only) != 1 or not isinstance(only[0].operator, follows) or node.name in program.results:
                raise P2vitError(
                    f"node {node.name}: the C export keeps scores and softmax codes of one query at a time, so "
                    "nothing but the attention itself may read them"
                )
            continue
        if not isinstance(node.operator, AttentionValues):
            steps.append(Step(node, node.operator, node.inputs))
            continue
        softmax = program.node(node.inputs[0])
        before = program.node(softmax.inputs[0])
        bias = before if isinstance(before.operator, ScoreBias) else None
        scores = program.node(bias.inputs[0]) if bias is not None else before
        if not isinstance(softmax.operator, Softmax) or not isinstance(scores.operator, Scores):
            raise P2vitError(f"node {node.name}: its codes do not come from a softmax of scores")
        fused = (scores.operator, softmax.operator, *([bias.operator] if bias is not None else []))
        steps.append(Step(node, node.operator, (*scores.inputs, node.inputs[1]), fused))
    return steps


def scratch_bytes(step: Step, program: IntegerProgram) -> int:
    """Return the bytes of scratch memory that a step needs."""
    operator = step.operator
    if isinstance(operator, Linear):
        return (
            2 * operator.weight.shape[1] if operator.weight_bits <= PACKED_BITS else 0
        )  # two rows, unpacked
    if isinstance(operator, LayerNorm):
        return 4 * operator.channels
    if isinstance(operator, AttentionValues):
        keys = program.tensors[step.node.inputs[0]].shape[-1]
        return 4 * keys + 4 * (operator.shift.size // operator.heads) + keys
    return 0


def make_plan(program: IntegerProgram) -> Plan:
    """Make the plan of a program.

    A table or a residual add overwrites an operand of the same type that no later step reads.

    Raises:
        P2vitError: Scores or softmax codes have a reader outside their attention.
    """
    steps = fuse(program)
    last: dict[str, int] = dict.fromkeys(program.results, len(steps))
    for number, step in enumerate(steps):
        for source in step.inputs:
            last[source] = max(last.get(source, 0), number)
    root: dict[str, str] = {}
    first: dict[str, int] = {}
    for number, step in enumerate(steps):
        home = step.name
        if isinstance(step.operator, Add | Lookup):
            for source in step.inputs:
                fits = source != PIXELS and program.tensors[source].dtype == program.tensors[step.name].dtype
                if fits and last[source] == number:
                    home = root[source]
                    break
        root[step.name] = home
        first.setdefault(home, number)
    end: dict[str, int] = {}
    for name, home in root.items():
        end[home] = max(end.get(home, 0), last.get(name, first[home]))
    lifetimes = [
        Lifetime(home, tensor_bytes(program.tensors[home]), first[home], end[home]) for home in first
    ]
    offsets, total = assign_offsets(lifetimes)
    scratch = max((aligned(scratch_bytes(step, program)) for step in steps), default=0)
    return Plan(
        program,
        tuple(steps),
        {name: offsets[home] for name, home in root.items()},
        total,
        total + scratch,
    )
