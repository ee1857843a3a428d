"""Compiles an integer program for an RTL machine."""

from collections.abc import Callable

from p2vit.accel.load_store.formats import LINE_PARAMETER_WORDS
from p2vit.accel.load_store.order import actions
from p2vit.accel.load_store.section import lay_out_jobs
from p2vit.accel.load_store.times import fastest
from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.compile.elementwise import (
    AddPayload,
    AffinePayload,
    AssemblePayload,
    GatherPayload,
    LayerNormPayload,
    LookupPayload,
    RootTable,
    SoftmaxPayload,
    SumPayload,
)
from p2vit.hdl.compile.errors import require
from p2vit.hdl.compile.fit import require_fit
from p2vit.hdl.compile.layout import TensorLayout
from p2vit.hdl.compile.matrix import AttentionPayload, LinearPayload, ScoresPayload, ValuesPayload
from p2vit.hdl.compile.memory import MemoryImage
from p2vit.hdl.compile.payload import Context, DescriptorPayload, NodePayload
from p2vit.hdl.compile.plan import LayoutPlan, plan_layouts
from p2vit.hdl.compile.steps import steps_of_program
from p2vit.hdl.compile.supported import require_supported
from p2vit.hdl.description import description_of
from p2vit.hdl.top.machine import RtlMachine
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
        self.memory = MemoryImage(machine.lines)
        self.layouts: dict[str, TensorLayout] = {}
        self.roots = RootTable(machine, self.memory)

    def run(self) -> CompiledProgram:
        """Allocate all tensors and constants, schedule the jobs of all nodes, and make the descriptors."""
        require_supported(self.program)
        plan = plan_layouts(self.program)
        shape = self.program.pixels.shape
        size = shape[0] * shape[1] * shape[2]
        pixels = self.memory.reserve(-(-size // self.machine.lines))
        for node in self.program.nodes:
            self.layouts[node.name] = self.layout_of(plan, node)
        described = description_of(self.machine, self.machine.name)
        steps = steps_of_program(plan, self.layouts)
        require_fit(self.machine, described, steps)
        nodes = [self.payload(plan, node, pixels) for node in self.program.nodes]
        memory = self.memory
        require(
            memory.words <= MAX_WORDS,
            "memory",
            f"the tensors and constants take {memory.words} words; at most {MAX_WORDS} are addressed",
            "use a smaller image",
        )
        jobs = [(0, job) for job in lay_out_jobs(described, steps, self.roots.words)]
        stores = sum(job.writes is not None for _, job in jobs)
        require(
            stores < 1 << 24, "stream", f"it has {stores} stores", "at most 2^24 are counted: use more lines"
        )
        order = fastest(described, jobs).jobs
        payload = DescriptorPayload(self.machine, nodes)
        return CompiledProgram(
            self.program,
            self.machine,
            (*actions(order, payload), payload.end()),
            tuple(order),
            memory.image(),
            memory.constant_words,
            pixels,
            dict(self.layouts),
        )

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
        base = self.memory.reserve(layout.words)
        return TensorLayout(**{**layout.__dict__, "base": base})

    def payload(self, plan: LayoutPlan, node: Node, pixels: int) -> NodePayload:
        """Make the payload of one node and store its constants.

        Raises:
            UnfitProgramError: The machine cannot execute the node.
        """
        sources = [self.layouts[name] for name in node.inputs if name != PIXELS]
        context = Context(node, sources, self.layouts[node.name], self.machine, self.memory)
        match node.operator:
            case Patchify():
                return GatherPayload(context, pixels, self.program.pixels.shape)
            case Softmax():
                guard = plan.attention_of_codes[node.name].operator.guard  # type: ignore[attr-defined]
                return SoftmaxPayload(context, guard)
            case LayerNorm():
                return LayerNormPayload(context, self.roots.address_for(node))
            case Linear() if node.name in plan.attention_of_values:
                return ValuesPayload(context)
        return _PAYLOADS[type(node.operator)](context)


_PAYLOADS: dict[type, Callable[[Context], NodePayload]] = {
    Linear: LinearPayload,
    Scores: ScoresPayload,
    AttentionValues: AttentionPayload,
    Lookup: LookupPayload,
    Add: AddPayload,
    Affine: AffinePayload,
    AssembleTokens: AssemblePayload,
    SelectToken: SumPayload,
    SumTokens: SumPayload,
}
