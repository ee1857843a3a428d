"""Descriptors as the payload of the scheduler's actions: what every node has in common.

The scheduler of `p2vit.accel.load_store` decides which loads, runs and stores there are, how large they are, and what
they wait for. A `NodePayload` adds what only the compiler knows: addresses, modes and constants.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from p2vit.accel.load_store.jobs import EngineJob, Load
from p2vit.hdl.compile.layout import TensorLayout
from p2vit.hdl.compile.memory import MemoryImage
from p2vit.hdl.top.descriptor import Descriptor, Dest, Kind, Source
from p2vit.hdl.top.machine import RtlMachine
from p2vit.program.graph import Node

#: Fields of a descriptor by name.
Fields = dict[str, int]

#: Fields that say which buffers a run takes and releases, without the prefix ``take_`` or ``release_``.
_ARRAY_BUFFERS = {"rows": "_rows", "weights": "_weights", "column_parameters": "_parameters"}
_VECTOR_BUFFERS = {"vector": "", "vector_parameters": "_parameters", "table": "_table"}


@dataclass(frozen=True)
class Context:
    """What the payload of a node is made from.

    Attributes:
        node: Node.
        sources: Layouts of the tensors that it reads.
        output: Layout of its output.
        machine: Sizes of the accelerator.
        memory: Memory image that the constants go to.
    """

    node: Node
    sources: list[TensorLayout]
    output: TensorLayout
    machine: RtlMachine
    memory: MemoryImage


class NodePayload(ABC):
    """Fields of the descriptors of one node.

    Args:
        context: Node, layouts, machine and memory.

    Raises:
        UnfitProgramError: The machine cannot execute the node.
    """

    def __init__(self, context: Context) -> None:
        self.name, self.output, self.sources = context.node.name, context.output, context.sources
        self.machine, self.memory = context.machine, context.memory

    @abstractmethod
    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load: ``inner`` · ``outer`` words."""

    @abstractmethod
    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run and its sizes."""


class DescriptorPayload:
    """Makes the descriptor of every action. It is a `Payload` of `p2vit.accel.load_store.order.actions`.

    Args:
        machine: Sizes of the accelerator.
        nodes: Payload of every node, in the order of the program.

    Attributes:
        stores: Number of stores so far.
    """

    def __init__(self, machine: RtlMachine, nodes: Sequence[NodePayload]) -> None:
        self.machine, self.nodes = machine, nodes
        self.stores = 0

    def load(self, operation: int, job: EngineJob, load: Load, after: int) -> Descriptor:
        """Make a LOAD."""
        node = self.nodes[operation]
        line_parameters = load.buffer == "rows" and not load.opens
        fields = {
            "dest": Dest.LINE_PARAMETERS if line_parameters else Dest[load.buffer.upper()],
            "open": int(load.opens),
            "close": int(load.closes),
            "gather": int(load.gather),
            "inner": load.words,
            "outer": 1,
            **node.load(job, load),
            "after": after,
        }
        lines = fields["line_end"] - fields["line_first"] if load.gather else 1
        assert fields["inner"] * fields["outer"] * lines == load.words, f"{node.name}: a load of another size"
        return Descriptor(Kind.LOAD, fields, node.name)

    def run(self, operation: int, job: EngineJob) -> Descriptor:
        """Make an ARRAY or VECTOR descriptor."""
        node, array = self.nodes[operation], job.engine == "array"
        names = _ARRAY_BUFFERS if array else _VECTOR_BUFFERS
        fields = {f"take{names[buffer]}": 1 for buffer in job.takes}
        fields |= {f"release{names[buffer]}": 1 for buffer in job.releases}
        if array:
            fields["columns"] = job.region.columns
        else:
            fields |= {"count": job.region.columns, "emit": int(job.writes is not None)}
            fields["line_end"] = self.machine.lines
        fields |= {"planes": node.output.bytes_each, **node.run(job)}
        return Descriptor(Kind.ARRAY if array else Kind.VECTOR, fields, node.name)

    def store(self, operation: int, job: EngineJob) -> Descriptor:
        """Make a STORE."""
        node, region = self.nodes[operation], job.writes
        assert region is not None
        self.stores += 1
        fields = {
            "source": Source[job.engine.upper()],
            "address": node.output.at(region.group, region.first, region.head),
            "columns": job.store_words // node.output.bytes_each,
            "planes": node.output.bytes_each,
        }
        return Descriptor(Kind.STORE, fields, node.name)

    def end(self) -> Descriptor:
        """Make the END, which waits for all stores."""
        return Descriptor(Kind.END, {"after": self.stores})
