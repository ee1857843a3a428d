"""What every integer operator is: a frozen object of integers that computes, and bounds what it computes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from p2vit.numerics.rounding import IntArray, Range

Shape = tuple[int, ...]

#: Field metadata: the dtype an array parameter is stored in. Arrays of other integer dtypes are converted if
#: they fit.
INT8 = {"dtype": "int8"}
INT16 = {"dtype": "int16"}
UINT16 = {"dtype": "uint16"}
INT32_ARRAY = {"dtype": "int32"}
#: An array whose dtype depends on another parameter; the operator's own ``validate`` checks it.
ANY_INTEGER = {"dtype": ""}
#: A parameter that files leave out where it has its default: programs from before it was there read, and hash,
#: as ever.
OMITTED = {"omitted": True}


@dataclass(frozen=True)
class Bounds:
    """Proven ranges of one operator for given input ranges.

    Attributes:
        output: Range of the output.
        intermediates: Name → range of everything wider than the operands, with the halves that rounding adds:
            accumulators, products. Each must fit 32 bits in every back-end; ``accumulator`` is the one that
            ``audit`` reports.
        wide: The same for what may take up to 64 bits: back-ends hold it in 64 bits, or never as a whole.
    """

    output: Range
    intermediates: dict[str, Range]
    wide: dict[str, Range] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """One integer operator with its parameters: the object that every back-end is made from.

    ``compute`` is the norm. Inputs and outputs carry a leading batch axis; parameters are integers and
    integer arrays only.
    """

    #: Number of tensors it reads.
    arity: ClassVar[int] = 1
    #: Widest tensor that each input takes: (bits, signed).
    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((32, True),)

    def __post_init__(self) -> None:
        """Freeze array parameters in their own dtype and check that every parameter is an integer.

        Raises:
            TypeError: a parameter is neither an integer, an integer array nor a text, where that is wanted.
            ValueError: an array has numbers that its dtype does not hold, or :meth:`validate` refuses.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            where = f"{type(self).__name__}.{each.name}"
            if "dtype" in each.metadata:
                object.__setattr__(self, each.name, _frozen(value, each.metadata["dtype"], where))
            elif isinstance(value, np.integer):
                object.__setattr__(self, each.name, int(value))
            elif isinstance(value, bool) or not isinstance(value, int if each.type is int else str):
                wanted = "an integer" if each.type is int else "a text"
                raise TypeError(f"{where} is {value!r}; expected {wanted}")
        self.validate()

    @classmethod
    def array_fields(cls) -> dict[str, str]:
        """Array parameters: name → dtype, empty where it depends on another parameter."""
        return {each.name: each.metadata["dtype"] for each in fields(cls) if "dtype" in each.metadata}

    @classmethod
    def scalar_fields(cls) -> tuple[str, ...]:
        """Names of the parameters that are a single integer or a text."""
        return tuple(each.name for each in fields(cls) if "dtype" not in each.metadata)

    @classmethod
    def omitted_fields(cls) -> dict[str, Any]:
        """Parameters that a file leaves out where they have their default: name → default."""
        return {each.name: each.default for each in fields(cls) if "omitted" in each.metadata}

    def validate(self) -> None:  # noqa: B027 - nothing to check is a fine default
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


def _frozen(value: Any, dtype: str, where: str) -> IntArray:
    """A read-only contiguous array in the wanted dtype: a copy, unless nobody can change the given one.

    Raises:
        TypeError: not an array of integers.
        ValueError: a number that the dtype does not hold.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{where} is {value!r}; only an array of integers is allowed")
    if value.dtype.kind not in "iu":
        raise TypeError(f"{where} has dtype {value.dtype}; only integers are allowed")
    target = np.dtype(dtype or value.dtype)
    if value.dtype == target:
        if value.flags.c_contiguous and value.flags.aligned and _is_immutable(value):
            return value
    else:
        info = np.iinfo(target)
        if value.size and (int(value.min()) < info.min or int(value.max()) > info.max):
            raise ValueError(
                f"{where} spans {value.min()}..{value.max()}; {target} holds {info.min}..{info.max}"
            )
    frozen = np.array(value, dtype=target, order="C")
    frozen.flags.writeable = False
    return frozen


def _is_immutable(array: Any) -> bool:
    """Whether an array is a view of ``bytes``: the weights of a file that was read are not copied."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, bytes)
