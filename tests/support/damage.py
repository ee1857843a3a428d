"""Every kind of damage to the two files of a program, seeded: with the hashes left wrong, or made right again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from support.forging import mutate, resign

#: What no field expects.
HOSTILE: list[object] = [
    None, True, False, -1, 0, 1, 2, 255, 2**15, 2**31, 2**31 - 1, -(2**31), 2**63, 2**64, -(2**70), 10**30,
    1.5, 1e300, -0.0, "", "0", "Linear", "/", "..", "log2", "\x1b[31m", "a\nb", "é" * 50, "x" * 5000,
    [], {}, [[]], [1, 2, 3], {"a": 1}, [None],
]  # fmt: skip


@dataclass
class Files:
    """A program's two files, taken apart.

    Attributes:
        document: Content of ``program.json``.
        tensors: Bytes of ``tensors.safetensors``.
        graph: Text that stands for ``program.json`` as it is, instead of the document.
        signed: The hashes are made right again, so that what lies behind them sees the damage.
    """

    document: object
    tensors: bytearray
    graph: bytes | None = None
    signed: bool = True

    def encoded(self) -> tuple[bytes, bytes]:
        """Both files."""
        tensors = bytes(self.tensors)
        if self.graph is not None:
            return self.graph, tensors
        if self.signed and isinstance(self.document, dict):
            self.document["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
            return resign(self.document), tensors
        return json.dumps(self.document).encode(), tensors


Damage = Callable[[Files, np.random.Generator], None]


def place_of_an_array(tensors: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    """First and last byte of one array, small and large alike."""
    header = 8 + int.from_bytes(tensors[:8], "little")
    entries = list(json.loads(tensors[8:header]).values())
    sizes = [
        entry["data_offsets"] for entry in entries if entry["data_offsets"][1] > entry["data_offsets"][0]
    ]
    begin, end = sizes[int(rng.integers(len(sizes)))]
    return header + begin, header + end


def flip_bits(files: Files, rng: np.random.Generator) -> None:
    """Up to three bits of one array."""
    begin, end = place_of_an_array(files.tensors, rng)
    for _ in range(int(rng.integers(1, 4))):
        files.tensors[int(rng.integers(begin, end))] ^= 1 << int(rng.integers(8))


def flip_header_bits(files: Files, rng: np.random.Generator) -> None:
    """Up to three bits of the tensor file's header."""
    header = 8 + int.from_bytes(files.tensors[:8], "little")
    for _ in range(int(rng.integers(1, 4))):
        files.tensors[int(rng.integers(header))] ^= 1 << int(rng.integers(8))


def overwrite_array(files: Files, rng: np.random.Generator) -> None:
    """One whole array, with one byte or with noise: every weight −128, every bias huge, every shift odd."""
    begin, end = place_of_an_array(files.tensors, rng)
    noise = rng.integers(0, 256, end - begin, dtype=np.uint8)
    same = np.full(end - begin, rng.choice([0, 1, 7, 0x7F, 0x80, 0xFF]), np.uint8)
    files.tensors[begin:end] = (noise if rng.random() < 0.3 else same).tobytes()


def mutate_document(files: Files, rng: np.random.Generator) -> None:
    """One value of the document, or two."""
    for _ in range(int(rng.integers(1, 3))):
        files.document = mutate(files.document, rng)


def swap_parts(files: Files, rng: np.random.Generator) -> None:
    """Two values of the same kind change places: operators, inputs, outputs, arrays, scalars."""
    nodes = files.document["nodes"]  # type: ignore[index]
    one, other = (nodes[int(rng.integers(len(nodes)))] for _ in range(2))
    key = str(rng.choice(["operator", "inputs", "output", "arrays", "scalars", "name"]))
    one[key], other[key] = other[key], one[key]


def _hostile(rng: np.random.Generator) -> object:
    return HOSTILE[int(rng.integers(len(HOSTILE)))]


def _replace_within(holder: dict, rng: np.random.Generator) -> None:
    """One value somewhere in an object, at any depth."""
    key = list(holder)[int(rng.integers(len(holder)))]
    if isinstance(holder[key], dict) and holder[key] and rng.random() < 0.6:
        _replace_within(holder[key], rng)
    else:
        holder[key] = _hostile(rng)


def wrong_scalar(files: Files, rng: np.random.Generator) -> None:
    """A scalar of one node: another type, or another number."""
    nodes = [node for node in files.document["nodes"] if node["scalars"]]  # type: ignore[index]
    scalars = nodes[int(rng.integers(len(nodes)))]["scalars"]
    key = list(scalars)[int(rng.integers(len(scalars)))]
    near = isinstance(scalars[key], int) and rng.random() < 0.4
    scalars[key] = scalars[key] + int(rng.integers(-2, 3)) if near else _hostile(rng)


def wrong_part(files: Files, rng: np.random.Generator) -> None:
    """A value of the provenance, the preprocessing or a node's record; or one key more, or one less."""
    assert isinstance(files.document, dict)
    holders = [files.document["provenance"], files.document["preprocessing"], files.document]
    holders += [files.document["nodes"][int(rng.integers(len(files.document["nodes"])))]]
    holder = holders[int(rng.integers(len(holders)))]
    turn = rng.random()
    if turn < 0.1:
        holder["spare"] = _hostile(rng)
    elif turn < 0.2 and holder:
        del holder[list(holder)[int(rng.integers(len(holder)))]]
    elif holder:
        _replace_within(holder, rng)


def wrong_provenance(files: Files, rng: np.random.Generator) -> None:
    """Values of the provenance of a wrong type, or keys that nobody knows."""
    told = files.document["provenance"]  # type: ignore[index]
    for _ in range(int(rng.integers(1, 4))):
        if told and rng.random() < 0.8:
            _replace_within(told, rng)
        else:
            keys = ["source", "calibration", "method", "p2vit", "weights_sha256", "architecture", "other"]
            told[str(rng.choice(keys))] = _hostile(rng)


def wrong_tensor(files: Files, rng: np.random.Generator) -> None:
    """Shape, width, sign, exponent or offset of one tensor; or other classes, output or feature."""
    document = files.document
    assert isinstance(document, dict)
    if rng.random() < 0.25:
        names = [node["name"] for node in document["nodes"]]
        document[str(rng.choice(["output", "feature"]))] = str(rng.choice(names))
        if rng.random() < 0.3:
            document["classes"] = [str(_hostile(rng)) for _ in range(int(rng.integers(0, 12)))]
        return
    records = [document["pixels"], *(node["output"] for node in document["nodes"])]
    record = records[int(rng.integers(len(records)))]
    key = list(record)[int(rng.integers(len(record)))]
    if key == "shape" and rng.random() < 0.7:
        record[key] = [int(side) + int(rng.integers(-1, 2)) for side in record[key]]
    elif isinstance(record[key], int) and rng.random() < 0.6:
        record[key] = record[key] + int(rng.integers(-2, 3))
    else:
        record[key] = _hostile(rng)


def text_level(files: Files, rng: np.random.Generator) -> None:
    """What only a text can say: a key twice, NaN, numbers of any length, depth without end, other encodings."""
    text = resign(dict(files.document)).decode()  # type: ignore[call-overload]
    at = [index for index, letter in enumerate(text) if letter == ":"]
    place = at[int(rng.integers(len(at)))] + 1
    turn = int(rng.integers(8))
    if turn == 0:
        text = text[:1] + text[1 : text.index(",")] + "," + text[1:]
    elif turn < 5:
        depth = int(10 ** rng.uniform(1, 5))
        value = [
            "NaN",
            "-Infinity",
            "1" * depth,
            "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
            "1e999",
        ]
        text = text[:place] + str(rng.choice(value)) + text[place:].lstrip("0123456789-.eE ")
    elif turn == 5:
        files.graph = text.encode(str(rng.choice(["utf-16", "utf-32", "utf-8-sig"])))
        return
    elif turn == 6:
        text = text[:place] + '"\\ud800"' + text[place:]
    else:
        text = text.replace('"', str(rng.choice(["'", "", '""'])), int(rng.integers(1, 4)))
    files.graph = text.encode(errors="surrogatepass")


def nested_provenance(files: Files, rng: np.random.Generator) -> None:
    """A provenance of any depth, with right hashes."""
    value: object = 1
    for _ in range(int(10 ** rng.uniform(0, 2.7))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    files.document["provenance"]["nested"] = value  # type: ignore[index]


def unseen_bits(files: Files, rng: np.random.Generator) -> None:
    """Bits of either file, the hashes left as they are."""
    graph = bytearray(json.dumps(files.document).encode())
    content = graph if rng.random() < 0.5 else files.tensors
    for _ in range(int(rng.integers(1, 4))):
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    files.graph = bytes(graph)


def cut(files: Files, rng: np.random.Generator) -> None:
    """Either file ends early, or goes on; with the hash of the tensors made right, or not."""
    if rng.random() < 0.5:
        graph = json.dumps(files.document).encode()
        files.graph = graph[: int(rng.integers(len(graph)))] if rng.random() < 0.8 else graph + b"\0" * 9
    elif rng.random() < 0.8:
        del files.tensors[int(rng.integers(len(files.tensors))) :]
    else:
        files.tensors += bytes(int(rng.integers(1, 100)))
    files.signed = bool(rng.random() < 0.5)


DAMAGE: dict[str, Damage] = {
    each.__name__: each
    for each in (
        flip_bits,
        flip_header_bits,
        overwrite_array,
        mutate_document,
        swap_parts,
        wrong_scalar,
        wrong_part,
        wrong_provenance,
        wrong_tensor,
        text_level,
        nested_provenance,
        unseen_bits,
        cut,
    )
}


def damaged(graph: bytes, tensors: bytes, damage: Damage, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Both files after one kind of damage."""
    files = Files(json.loads(graph), bytearray(tensors))
    damage(files, rng)
    return files.encoded()
