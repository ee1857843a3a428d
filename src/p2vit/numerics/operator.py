"""The base class of integer operators: a frozen object of integers that computes, and proves bounds of its results."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from p2vit.numerics.rounding import IntArray, Range

Shape = tuple[int, ...]

#: Field metadata: dtype of an array parameter. Arrays of other integer dtypes are converted if their values fit.
INT8 = {"dtype": "int8"}
INT16 = {"dtype": "int16"}
UINT16 = {"dtype": "uint16"}
INT32_ARRAY = {"dtype": "int32"}
#: Metadata of an array whose dtype depends on another parameter. The operator's ``validate`` checks it.
ANY_INTEGER = {"dtype": ""}
#: Metadata of a parameter that files omit if it has its default. Older programs without it stay readable and keep
#: their hashes.
OMITTED = {"omitted": True}


@dataclass(frozen=True)
class Bounds:
    """Proven ranges of one operator for given input ranges.

    Attributes:
        output: Range of the output.
        intermediates: Name → range of each intermediate that is wider than the operands, such as accumulators and
            products, including the half that rounding adds. Each must fit 32 bits in every back-end. ``audit``
            reports the one named ``accumulator``.
        wide: Name → range of each intermediate that may have up to 64 bits. Back-ends use 64 bits for it, or never
            compute it as one number.
    """

    output: Range
    intermediates: dict[str, Range]
    wide: dict[str, Range] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """One integer operator with its parameters. Every back-end is made from this object.

    ``compute`` is the reference that every back-end must equal. Inputs and outputs have a leading batch dimension B.
    Parameters are integers, integer arrays or texts.
    """

    #: Number of input tensors.
    arity: ClassVar[int] = 1
    #: Widest allowed tensor of each input: (bits, signed).
    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((32, True),)

    def __post_init__(self) -> None:
        """Convert array parameters to their dtype, make them read-only, and check all parameters.

        Raises:
            TypeError: A parameter is not the integer, integer array or text that it must be.
            ValueError: An array has values that do not fit its dtype, or `validate` refuses a parameter.
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
        """Return name → dtype of the array parameters; the dtype is empty if it depends on another parameter."""
        return {each.name: each.metadata["dtype"] for each in fields(cls) if "dtype" in each.metadata}

    @classmethod
    def scalar_fields(cls) -> tuple[str, ...]:
        """Return the names of the parameters that are a single integer or a text."""
        return tuple(each.name for each in fields(cls) if "dtype" not in each.metadata)

    @classmethod
    def omitted_fields(cls) -> dict[str, Any]:
        """Return name → default of the parameters that a file omits if they have their default."""
        return {each.name: each.default for each in fields(cls) if "omitted" in each.metadata}

    def validate(self) -> None:  # noqa: B027 - the default checks nothing
        """Check that the parameters fit together.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """

    @abstractmethod
    def compute(self, *inputs: IntArray) -> IntArray:
        """Compute the output from the inputs, all integers. The docstring of each operator states the shapes."""

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the output for the shapes of the inputs, all without the batch dimension.

        Raises:
            ValueError: The shapes do not fit the parameters.
        """

    @abstractmethod
    def output_format(self) -> tuple[int, bool]:
        """Return the width in bits of the output, and whether it is signed."""

    @abstractmethod
    def bounds(self, *ranges: Range) -> Bounds:
        """Return the worst-case ranges for input ranges, proved from the actual parameters."""

    @property
    def macs_per_output(self) -> int:
        """Multiply-accumulates per output element; 0 for an operator that is not a matrix product."""
        return 0


def expect(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def _frozen(value: Any, dtype: str, where: str) -> IntArray:
    """Return a read-only contiguous array of a dtype. The given array is copied unless it is immutable.

    Raises:
        TypeError: The value is not an array of integers.
        ValueError: A number does not fit the dtype.
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
    """Return whether an array is a view of ``bytes``, as the weights of a loaded file are."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, bytes)
