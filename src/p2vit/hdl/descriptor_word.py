"""Descriptors as words: the encoding that the load–store and the chunk organisation share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar


@dataclass(frozen=True)
class DescriptorWord:
    """One action of an engine, encoded as a word of fields.

    Attributes:
        fields_of: Kind → fields of its word as (name, width in bits), from bit 0 on. Each organisation has its own.
        size: Length of the word in bytes.
        kind: Kind, which selects the queue.
        values: Field → integer; missing fields are 0.
        node: Name of the node that the action belongs to; it is not encoded.
    """

    fields_of: ClassVar[Mapping[Any, tuple[tuple[str, int], ...]]]
    size: ClassVar[int]

    kind: IntEnum
    values: Mapping[str, int]
    node: str = field(default="", compare=False)

    def __getitem__(self, name: str) -> int:
        return self.values.get(name, 0)

    def encode(self) -> int:
        """Encode the descriptor as a word.

        Raises:
            ValueError: The kind has no such field, or a value does not fit its field. This is a defect of the
                compiler.
        """
        layout = self.fields_of[self.kind]
        unknown = set(self.values) - {name for name, _ in layout}
        if unknown:
            raise ValueError(f"{self.kind.name} has no fields {sorted(unknown)}")
        word, at = 0, 0
        for name, width in layout:
            value = int(self.kind) if name == "kind" else int(self.values.get(name, 0))
            if not -(1 << (width - 1)) <= value < 1 << width:
                raise ValueError(
                    f"{self.kind.name}.{name} is {value}; {width} bits do not hold it ({self.node})"
                )
            word |= (value & ((1 << width) - 1)) << at
            at += width
        assert at <= 8 * self.size
        return word

    def to_bytes(self) -> bytes:
        """Encode the descriptor as little-endian bytes."""
        return self.encode().to_bytes(self.size, "little")
