"""The steps of a program in C: operators with their parameters, and where each tensor lies."""

from dataclasses import dataclass, field

from p2vit.errors import P2vitError
from p2vit.export.c.arena import Lifetime, aligned, place
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

#: Weights of at most so many bits are stored two in a byte.
PACKED_BITS = 4


@dataclass(frozen=True)
class Step:
    """One call of an operator.

    Attributes:
        node: The node whose tensor it writes; of attention, the last of the fused ones.
        operator: Its parameters.
        inputs: Names of the tensors it reads.
        fused: Attention only: scores, softmax and, with windows, the bias before them.
    """

    node: Node
    operator: Operator
    inputs: tuple[str, ...]
    fused: tuple[Operator, ...] = ()

    @property
    def name(self) -> str:
        """Of the tensor it writes."""
        return self.node.name


@dataclass(frozen=True)
class Plan:
    """A program as C runs it.

    Attributes:
        program: The program.
        steps: In order.
        offsets: Tensor → where it lies in the arena, in bytes.
        scratch: Where the operators' working rows lie.
        arena_bytes: All of it, working rows included.
    """

    program: IntegerProgram
    steps: tuple[Step, ...]
    offsets: dict[str, int]
    scratch: int
    arena_bytes: int
    shared: dict[str, str] = field(default_factory=dict)

    def spec(self, name: str) -> TensorSpec:
        """What a tensor is."""
        return self.program.tensors[name]


def tensor_bytes(spec: TensorSpec) -> int:
    """Bytes of one image's tensor."""
    count = 1
    for side in spec.shape:
        count *= side
    return count * spec.dtype.itemsize


def fuse(program: IntegerProgram) -> list[Step]:
    """The nodes as steps, with scores, bias, softmax and values of an attention as one.

    Raises:
        P2vitError: scores or softmax codes that anything but an attention reads.
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
    """Bytes of the working row that a step needs."""
    operator = step.operator
    if isinstance(operator, Linear):
        return operator.weight.shape[1] if operator.weight_bits <= PACKED_BITS else 0
    if isinstance(operator, LayerNorm):
        return 4 * operator.channels
    if isinstance(operator, AttentionValues):
        keys = program.tensors[step.node.inputs[0]].shape[-1]
        return 4 * keys + 4 * (operator.shift.size // operator.heads) + keys
    return 0


def make_plan(program: IntegerProgram) -> Plan:
    """Steps and places of a program.

    A table and a residual add write over an operand that nobody reads after them, where the types agree.

    Raises:
        P2vitError: a graph that C cannot hold so.
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
    places, total = place(lifetimes)
    scratch = max((aligned(scratch_bytes(step, program)) for step in steps), default=0)
    return Plan(
        program,
        tuple(steps),
        {name: places[home] for name, home in root.items()},
        total,
        total + scratch,
    )
