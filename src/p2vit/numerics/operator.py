"""What every integer operator is: a frozen object of integers that computes, and bounds what it computes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from p2vit.numerics.rounding import IntArray, Range

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Bounds:
    """Proven ranges of one operator for given input ranges.

    Attributes:
        output: Range of the output.
        intermediates: Name → range of everything wider than the operands: accumulators, products. Each must
            fit its register; ``accumulator`` is the one that ``audit`` reports.
    """

    output: Range
    intermediates: dict[str, Range]


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """One integer operator with its parameters: the object that every back-end is made from.

    ``compute`` is the norm. Inputs and outputs carry a leading batch axis; parameters are integers and integer
    arrays only.
    """

    #: Number of tensors it reads.
    arity: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Freeze array parameters and check that all of them are integers.

        Raises:
            TypeError: a parameter is neither an integer, an integer array nor a text.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                if value.dtype.kind not in "iu":
                    raise TypeError(f"{type(self).__name__}.{field.name} has dtype {value.dtype}; only integers are allowed")
                frozen = np.ascontiguousarray(value)
                frozen.flags.writeable = False
                object.__setattr__(self, field.name, frozen)
            elif isinstance(value, np.integer):
                object.__setattr__(self, field.name, int(value))
            elif not isinstance(value, int | str):
                raise TypeError(f"{type(self).__name__}.{field.name} is {value!r}; only integers and texts are allowed")
        self.validate()

    def validate(self) -> None:
        """Check that the parameters fit together.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
        """

    @abstractmethod
    def compute(self, *inputs: IntArray) -> IntArray:
        """Integers in, integers out; shapes as the operator's own docstring gives them."""

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the output for input shapes, both without the batch axis.

        Raises:
            ValueError: the shapes do not fit the parameters.
        """

    @abstractmethod
    def output_format(self) -> tuple[int, bool]:
        """Width in bits and signedness of the output."""

    @abstractmethod
    def bounds(self, *ranges: Range) -> Bounds:
        """Worst-case ranges, from the actual parameters."""

    @property
    def macs_per_output(self) -> int:
        """Multiply-accumulates behind one output number; 0 for what is not a matrix product."""
        return 0


def expect(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless the condition holds."""
    if not condition:
        raise ValueError(message)
