"""Descriptors in order, and which stores a load must wait for."""

from collections import defaultdict
from collections.abc import Iterable

from p2vit.rtl.compile.layout import Place
from p2vit.rtl.compile.memory import MemoryImage
from p2vit.rtl.top.descriptor import Descriptor, Kind
from p2vit.rtl.top.machine import RtlMachine

#: A group of a tensor: name, head, group.
Key = tuple[str, int, int]


class Emitter:
    """Collects units of work; knows, for every group of every tensor, the last store into it.

    Attributes:
        machine: Sizes.
        memory: Addresses.
        places: Tensor → place.
        descriptors: So far.
    """

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        self.memory = MemoryImage(machine.lines)
        self.places: dict[str, Place] = {}
        self.descriptors: list[Descriptor] = []
        self.node = ""
        self._stores = 0
        self._written: dict[Key, int] = defaultdict(int)

    def load(self, reads: Iterable[Key] = (), **values: int) -> None:
        """A load; ``reads`` are the groups whose stores it waits for."""
        after = max((self._written[key] for key in reads), default=0)
        values = {"outer": 1, "after": after, **values}
        self.descriptors.append(Descriptor(Kind.LOAD, values, self.node))

    def array(self, **values: int) -> None:
        """Work for the array."""
        self.descriptors.append(Descriptor(Kind.ARRAY, values, self.node))

    def vector(self, **values: int) -> None:
        """Work for the vector chunk."""
        self.descriptors.append(Descriptor(Kind.VECTOR, values, self.node))

    def store(self, writes: Key, **values: int) -> None:
        """A store into one group."""
        self._stores += 1
        self._written[writes] = self._stores
        self.descriptors.append(Descriptor(Kind.STORE, values, self.node))

    def end(self) -> None:
        """The last descriptor: all stores are done."""
        self.descriptors.append(Descriptor(Kind.END, {"after": self._stores}))
