"""Compiles an integer program for an RTL machine."""

from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.compile.elementwise import VectorEmitter
from p2vit.hdl.compile.emitter import Emitter
from p2vit.hdl.compile.errors import require, unfit
from p2vit.hdl.compile.layout import TensorLayout
from p2vit.hdl.compile.matrix import MatrixEmitter
from p2vit.hdl.compile.plan import LayoutPlan, plan_layouts
from p2vit.hdl.compile.schedule import RULES, descriptors, merged
from p2vit.hdl.compile.supported import require_supported
from p2vit.hdl.timing import rtl_timing
from p2vit.hdl.top.descriptor import Descriptor
from p2vit.hdl.top.machine import LINE_PARAMETER_WORDS, MEMORY_LATENCY, RtlMachine
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    LayerNorm,
    Linear,
    Lookup,
    Patchify,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.program.graph import PIXELS, IntegerProgram, Node

#: Largest memory in words. Addresses have 32 bits, but the simulated memory must fit into the host's memory.
MAX_WORDS = 1 << 28


def compile_program(program: IntegerProgram, machine: RtlMachine) -> CompiledProgram:
    """Compile a program for a machine.

    Args:
        program: Integer program. The accelerator executes all its operators; none is left to a host.
        machine: Sizes of the accelerator.

    Returns:
        Compiled program. The same inputs give the same descriptors and the same image.

    Raises:
        UnfitProgramError: The program does not fit the machine. The message names the layer, the limit and the lever.
    """
    return _Compiler(program, machine).run()


class _Compiler:
    def __init__(self, program: IntegerProgram, machine: RtlMachine) -> None:
        self.program, self.machine = program, machine
        self.emit = Emitter(machine)
        self.matrix, self.vector = MatrixEmitter(self.emit), VectorEmitter(self.emit)

    def run(self) -> CompiledProgram:
        """Allocate all tensors, then emit the jobs node by node."""
        require_supported(self.program)
        plan = plan_layouts(self.program)
        shape = self.program.pixels.shape
        size = shape[0] * shape[1] * shape[2]
        pixels = self.emit.memory.reserve(-(-size // self.machine.lines))
        for node in self.program.nodes:
            self.emit.layouts[node.name] = self.layout_of(plan, node)
        for node in self.program.nodes:
            self.emit.node = node.name
            self.node(plan, node, pixels)
        memory = self.emit.memory
        require(
            memory.words <= MAX_WORDS,
            "memory",
            f"the tensors and constants take {memory.words} words; at most {MAX_WORDS} are addressed",
            "use a smaller image",
        )
        stores = sum(job.store is not None for job in self.emit.jobs)
        require(
            stores < 1 << 24, "stream", f"it has {stores} stores", "at most 2^24 are counted: use more lines"
        )
        return CompiledProgram(
            self.program,
            self.machine,
            self.fastest(),
            memory.image(),
            memory.constant_words,
            pixels,
            dict(self.emit.layouts),
        )

    def fastest(self) -> tuple[Descriptor, ...]:
        """Return the descriptors in the job order that takes the fewest cycles."""
        jobs, lines = self.emit.jobs, self.machine.lines
        orders: list[list[Descriptor]] = [descriptors(jobs)]
        orders += [descriptors(merged(jobs, lines, rule)) for rule in RULES]
        cycles = [rtl_timing(order, self.machine, MEMORY_LATENCY).cycles for order in orders]
        return tuple(orders[cycles.index(min(cycles))])

    def layout_of(self, plan: LayoutPlan, node: Node) -> TensorLayout:
        """Reserve memory for the output of a node and return its layout."""
        spec = self.program.tensors[node.name]
        lines, size = self.machine.lines, spec.dtype.itemsize
        if len(spec.shape) == 3:
            heads, rows, columns = spec.shape
            extra = LINE_PARAMETER_WORDS if isinstance(node.operator, Softmax) else 0
            layout = TensorLayout(0, rows, columns, size, lines, stack=heads, extra=extra)
        elif node.name in plan.attention_of_values:
            heads = plan.attention_of_values[node.name].operator.heads  # type: ignore[attr-defined]
            tokens, channels = spec.shape
            layout = TensorLayout(0, channels // heads, tokens, size, lines, stack=heads, transposed=True)
        else:
            require(
                len(spec.shape) == 2,
                node.name,
                f"it has shape {list(spec.shape)}",
                "the accelerator holds rows of tokens, and one matrix per head",
            )
            rows, columns = spec.shape
            layout = TensorLayout(0, rows, columns, size, lines, first_row=plan.first_rows[node.name])
        base = self.emit.memory.reserve(layout.words)
        return TensorLayout(**{**layout.__dict__, "base": base})

    def node(self, plan: LayoutPlan, node: Node, pixels: int) -> None:
        """Emit the jobs of one node.

        Raises:
            UnfitProgramError: No engine executes the operator.
        """
        output = self.emit.layouts[node.name]
        sources = [self.emit.layouts[name] for name in node.inputs if name != PIXELS]
        matrix, vector = self.matrix, self.vector
        match node.operator:
            case Patchify():
                vector.patchify(node, pixels, self.program.pixels.shape, output)
            case Linear() if node.name in plan.attention_of_values:
                heads = plan.attention_of_values[node.name].operator.heads  # type: ignore[attr-defined]
                matrix.values(node, heads, sources[0], output)
            case Linear():
                matrix.linear(node, sources[0], output)
            case Scores():
                matrix.scores(node, sources, output)
            case Softmax():
                guard = plan.attention_of_codes[node.name].operator.guard  # type: ignore[attr-defined]
                vector.softmax(node, guard, sources[0], output)
            case AttentionValues():
                matrix.attention(node, sources, output)
            case LayerNorm():
                vector.layer_norm(node, sources[0], output)
            case Lookup():
                vector.lookup(node, sources[0], output)
            case Add():
                vector.add(node, sources, output)
            case Affine():
                vector.affine(node, sources[0], output)
            case AssembleTokens():
                vector.assemble(node, sources[0], output)
            case SelectToken() | SumTokens():
                vector.sum_tokens(node, sources[0], output)
            case operator:
                raise unfit(
                    node.name,
                    f"no engine of the accelerator executes {type(operator).__name__}",
                    "run this program on another back-end",
                )
