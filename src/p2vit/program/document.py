"""``program.json``: the pydantic models of its content, and the conversion from and to a program."""

import json
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from p2vit.numerics import OPERATORS, Linear, Operator
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram, Node, TensorSpec
from p2vit.program.maps import MAX_MAPS, FeatureMap
from p2vit.program.packing import PACKED_BITS, pack_nibbles, unpack_nibbles
from p2vit.program.preprocessing import Preprocessing
from p2vit.text import in_strings, original, portable

FORMAT: Literal["p2vit-integer-program"] = "p2vit-integer-program"
#: Version of the file format. Version 2: tables are [G, 256] instead of [256], and offsets may be per channel.
#: Version 3: feature maps. Files of programs without feature maps keep version 2.
VERSION: Literal[2] = 2
MAPS_VERSION: Literal[3] = 3
VERSIONS = (VERSION, MAPS_VERSION)

Side = Annotated[int, Field(ge=0, le=1 << 31)]
Small = Annotated[int, Field(ge=-(1 << 31), le=1 << 31)]
Name = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A part of the document. Unknown keys are refused, and values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ArrayRecord(Record):
    """An array in ``tensors.safetensors``. ``int4`` arrays are packed, see `p2vit.program.packing`."""

    dtype: Literal["int4", "int8", "uint8", "int16", "uint16", "int32"]
    shape: Annotated[list[Side], Field(max_length=3)]


class TensorRecord(Record):
    """The tensor that a node writes. Exponents and offsets are single numbers or separate arrays."""

    shape: Annotated[list[Side], Field(max_length=4)]
    bits: Annotated[int, Field(ge=1, le=32)]
    signed: bool
    exponent: Annotated[int, Field(ge=-127, le=127)] | ArrayRecord
    offset: Small | ArrayRecord = 0


class NodeRecord(Record):
    """A node. Its arrays have the keys ``<node>/<parameter>`` in ``tensors.safetensors``."""

    name: Name
    operator: Name
    inputs: Annotated[list[Name], Field(max_length=4)]
    scalars: dict[str, Small | Annotated[str, Field(max_length=100)]]
    arrays: dict[str, ArrayRecord]
    output: TensorRecord


class MapRecord(Record):
    """A feature map; the node of its name writes it."""

    name: Name
    grid: Annotated[list[Side], Field(min_length=2, max_length=2)]
    layer: Annotated[int, Field(ge=0, le=1 << 16)] | None = None
    first: Side = 0
    classes: list[str] = []


class Document(Record):
    """The content of ``program.json``."""

    format: Literal["p2vit-integer-program"] = FORMAT
    version: Literal[2, 3] = VERSION
    tensors_sha256: Digest
    pixels: TensorRecord
    nodes: Annotated[list[NodeRecord], Field(min_length=1)]
    output: Name
    feature: Name
    preprocessing: Preprocessing
    classes: list[str]
    provenance: dict[str, Any]
    maps: Annotated[list[MapRecord], Field(min_length=1, max_length=MAX_MAPS)] | None = None
    sha256: Digest


def canonical_json(value: Any) -> bytes:
    """Write a value as canonical JSON, so that equal values give equal bytes: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: The value contains a NaN or an infinity.
        TypeError: The value contains an object that is not a JSON value.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def array_key(node: str, parameter: str) -> str:
    """Return the key of an array in ``tensors.safetensors``."""
    return f"{node}/{parameter}"


def describe(program: IntegerProgram) -> tuple[dict[str, Any], dict[str, IntArray]]:
    """Convert a program to JSON values and arrays.

    Returns:
        (content of ``program.json`` without the hashes, key → array as stored in the tensor file).
    """
    arrays: dict[str, IntArray] = {}
    nodes = [describe_node(node, program.tensors[node.name], arrays) for node in program.nodes]
    document = {
        "format": FORMAT,
        "version": VERSION,
        "pixels": describe_tensor(program.pixels, arrays),
        "nodes": nodes,
        "output": program.output,
        "feature": program.feature,
        "preprocessing": program.preprocessing.model_dump(mode="json"),
        "classes": in_strings(list(program.classes), portable),
        "provenance": in_strings(program.provenance, portable),
    }
    if program.maps:
        # Without maps there is no key, so the hashes of programs without any stay what they were.
        document["version"] = MAPS_VERSION
        document["maps"] = [describe_map(each) for each in program.maps]
    return document, arrays


def describe_map(found: FeatureMap) -> dict[str, Any]:
    """A feature map as JSON values."""
    return {
        "name": found.name,
        "grid": list(found.grid),
        "layer": found.layer,
        "first": found.first,
        "classes": in_strings(list(found.classes), portable),
    }


def describe_node(node: Node, spec: TensorSpec, arrays: dict[str, IntArray]) -> dict[str, Any]:
    """Convert a node to JSON values, and add its arrays to ``arrays``."""
    operator = node.operator
    omitted = operator.omitted_fields()
    records = {}
    for name in operator.array_fields():
        value: IntArray = getattr(operator, name)
        packed = isinstance(operator, Linear) and name == "weight" and operator.weight_bits <= PACKED_BITS
        records[name] = {"dtype": "int4" if packed else str(value.dtype), "shape": list(value.shape)}
        arrays[array_key(node.name, name)] = pack_nibbles(value) if packed else value
    return {
        "name": node.name,
        "operator": type(operator).__name__,
        "inputs": list(node.inputs),
        "scalars": {
            name: getattr(operator, name)
            for name in operator.scalar_fields()
            if name not in omitted or getattr(operator, name) != omitted[name]
        },
        "arrays": records,
        "output": describe_tensor(spec, arrays),
    }


def describe_tensor(spec: TensorSpec, arrays: dict[str, IntArray]) -> dict[str, Any]:
    """Convert a tensor's spec to JSON values, and add exponents and offsets per channel or head to ``arrays``."""

    def number(name: str, value: IntArray) -> Any:
        if value.ndim == 0:
            return int(value)
        arrays[array_key(spec.name, name)] = value
        return {"dtype": str(value.dtype), "shape": list(value.shape)}

    return {
        "shape": list(spec.shape),
        "bits": spec.bits,
        "signed": spec.signed,
        "exponent": number("exponent", spec.exponent),
        "offset": number("offset", np.asarray(spec.offset)),
    }


class Rebuilder:
    """Makes a program from a document and its arrays, and checks that all arrays are used.

    Args:
        arrays: Key → array of the tensor file.

    Attributes:
        unused: Keys of the arrays that were not used yet.
    """

    def __init__(self, arrays: dict[str, IntArray]) -> None:
        self.arrays = arrays
        self.unused = set(arrays)
        self._copied = False

    def program(self, document: Document) -> IntegerProgram:
        """Make the program. Its structure and its exponents are not checked here.

        Raises:
            ValueError: A node is wrong. The message names it.
        """
        # If weights were packed, their bytes in the file are not needed any more. Copy the other arrays then, because
        # a view would keep the whole file in memory.
        self._copied = any(array.dtype == "int4" for node in document.nodes for array in node.arrays.values())
        tensors = {PIXELS: self.tensor(PIXELS, document.pixels)}
        nodes = []
        for record in document.nodes:
            node = Node(record.name, self.operator(record), tuple(record.inputs))
            if node.name in tensors:
                raise ValueError(f"node {node.name}: the name is taken")
            tensors[node.name] = self.tensor(node.name, record.output)
            nodes.append(node)
        if self.unused:
            raise ValueError(f"arrays {sorted(self.unused)[:5]} belong to no node")
        return IntegerProgram(
            tuple(nodes),
            tensors,
            document.output,
            document.feature,
            document.preprocessing,
            in_strings(tuple(document.classes), original),
            in_strings(document.provenance, original),
            tuple(
                FeatureMap(
                    each.name,
                    (each.grid[0], each.grid[1]),
                    each.layer,
                    each.first,
                    in_strings(tuple(each.classes), original),
                )
                for each in document.maps or ()
            ),
        )

    def operator(self, record: NodeRecord) -> Operator:
        """Make the operator of a node.

        Raises:
            ValueError: The operator is unknown, or a parameter is missing, unknown or not allowed.
        """
        where = f"node {record.name}"
        if record.operator not in OPERATORS:
            raise ValueError(
                f"{where}: operator {record.operator!r} is unknown; known are {', '.join(OPERATORS)}"
            )
        kind = OPERATORS[record.operator]
        for what, given, wanted in (
            ("scalars", set(record.scalars) | set(kind.omitted_fields()), set(kind.scalar_fields())),
            ("arrays", set(record.arrays), set(kind.array_fields())),
        ):
            if given != wanted:
                raise ValueError(
                    f"{where}: its {what} are {sorted(given)}; {record.operator} has {sorted(wanted)}"
                )
        parameters: dict[str, Any] = dict(record.scalars)
        for name, array in record.arrays.items():
            dtype = kind.array_fields()[name]
            allowed = {dtype} if dtype else {"int8", "int16"}
            if kind is Linear and name == "weight":
                packed = (
                    isinstance(parameters["weight_bits"], int) and parameters["weight_bits"] <= PACKED_BITS
                )
                allowed = {"int4" if packed else "int8"}
            if array.dtype not in allowed:
                raise ValueError(f"{where}: {name} is {array.dtype}; expected {' or '.join(sorted(allowed))}")
            parameters[name] = self.array(array_key(record.name, name), array)
        try:
            return kind(**parameters)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from None

    def tensor(self, name: str, record: TensorRecord) -> TensorSpec:
        """Make the spec of a tensor.

        Raises:
            ValueError: Exponents or offsets do not fit the tensor's shape.
        """

        def number(what: str, value: int | ArrayRecord, dtype: str) -> IntArray:
            if isinstance(value, int):
                return np.array(value, dtype=np.int64)
            if value.dtype != dtype:
                raise ValueError(f"tensor {name}: its {what}s are {value.dtype}; expected {dtype}")
            return self.array(array_key(name, what), value)

        exponent = number("exponent", record.exponent, "int8")
        offset = number("offset", record.offset, "int32")
        return TensorSpec(name, tuple(record.shape), record.bits, record.signed, exponent, offset)

    def array(self, key: str, record: ArrayRecord) -> IntArray:
        """Return a stored array, unpacked and with exactly the recorded dtype and shape.

        Raises:
            ValueError: The array is missing or has another dtype or shape.
        """
        if key not in self.arrays:
            raise ValueError(f"array {key!r} is missing")
        self.unused.discard(key)
        stored = self.arrays[key]
        if record.dtype == "int4":
            if len(record.shape) != 2:
                raise ValueError(
                    f"array {key!r}: recorded shape is {record.shape}; packed weights have two sides"
                )
            try:
                stored = unpack_nibbles(stored, record.shape[1])
            except ValueError as error:
                raise ValueError(f"array {key!r}: {error}") from None
        elif str(stored.dtype) != record.dtype:
            raise ValueError(f"array {key!r}: is {stored.dtype}; recorded is {record.dtype}")
        if list(stored.shape) != record.shape:
            raise ValueError(f"array {key!r}: has shape {list(stored.shape)}; recorded is {record.shape}")
        return stored.copy() if self._copied and record.dtype != "int4" else stored
