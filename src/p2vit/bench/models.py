"""Float ViTs of a program's shape, for the other runtimes. Their weights are random: speed does not depend on them.

The packages of a runtime are imported only when it is measured.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.files import made_once
from p2vit.numerics import AssembleTokens, Linear, Lookup, Patchify, Scores
from p2vit.program.graph import IntegerProgram


@dataclass(frozen=True)
class ViTShape:
    """Shape of a plain ViT: everything that its speed depends on."""

    image: tuple[int, int]
    patch: int
    dim: int
    depth: int
    heads: int
    mlp: int
    prefix: int
    classes: int

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return (self.image[0] // self.patch) * (self.image[1] // self.patch) + self.prefix

    @property
    def key(self) -> str:
        """The shape as text, for file names."""
        height, width = self.image
        return (
            f"vit-{height}x{width}-p{self.patch}-c{self.dim}-d{self.depth}-h{self.heads}-m{self.mlp}"
            f"-t{self.prefix}-{self.classes}"
        )


def shape_of(program: IntegerProgram) -> ViTShape:
    """Return the shape of the plain ViT that a program computes.

    Raises:
        ValueError: The program is not a plain ViT.
    """
    patch = next(program.of_kind(Patchify), None)
    tokens = next(program.of_kind(AssembleTokens), None)
    scores = list(program.of_kind(Scores))
    activations = list(program.of_kind(Lookup))
    if patch is None or tokens is None or not scores or not activations:
        raise ValueError(
            "only plain ViTs can be compared: the program lacks patches, tokens, attention or an MLP"
        )
    height, width, _ = program.pixels.shape
    assert isinstance(patch.operator, Patchify)
    assert isinstance(tokens.operator, AssembleTokens)
    assert isinstance(scores[0].operator, Scores)
    head = next((node for node in program.of_kind(Linear) if node.name == program.output), None)
    return ViTShape(
        (height, width),
        patch.operator.patch_size,
        program.tensors[tokens.name].shape[1],
        len(scores),
        scores[0].operator.heads,
        program.tensors[activations[0].name].shape[1],
        len(tokens.operator.prefix),
        program.tensors[head.name].shape[-1] if head else 0,
    )


class OnnxViT:
    """Builds the usual float ONNX graph of a ViT, from pixels float32 [B, 3, H, W] to logits."""

    def __init__(self, shape: ViTShape, batch: int) -> None:
        self.shape, self.batch = shape, batch
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.rng = np.random.default_rng(0)

    def constant(self, name: str, array: np.ndarray) -> str:
        """Add an initializer."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output of the same name."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def linear(self, x: str, inputs: int, outputs: int, name: str) -> str:
        """Add MatMul and Add with random weights."""
        weight = (self.rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        product = self.op("MatMul", [x, self.constant(f"{name}.weight", weight)], f"{name}.matmul")
        bias = self.constant(
            f"{name}.bias", self.rng.standard_normal(outputs).astype(np.float32) * np.float32(0.1)
        )
        return self.op("Add", [product, bias], name)

    def norm(self, x: str, name: str) -> str:
        """Add LayerNormalization."""
        ones = self.constant(f"{name}.gain", np.ones(self.shape.dim, np.float32))
        zeros = self.constant(f"{name}.offset", np.zeros(self.shape.dim, np.float32))
        return self.op("LayerNormalization", [x, ones, zeros], name, axis=-1, epsilon=1e-6)

    def block(self, x: str, at: str) -> str:
        """Add one encoder block."""
        s = self.shape
        size = s.dim // s.heads
        qkv = self.linear(self.norm(x, f"{at}.norm1"), s.dim, 3 * s.dim, f"{at}.qkv")
        split = self.constant(f"{at}.split", np.array([self.batch, s.tokens, 3, s.heads, size], np.int64))
        parts = self.op(
            "Transpose", [self.op("Reshape", [qkv, split], f"{at}.five")], f"{at}.parts", perm=[2, 0, 3, 1, 4]
        )
        q, k, v = (
            self.op(
                "Gather", [parts, self.constant(f"{at}.index{i}", np.array(i, np.int64))], f"{at}.{n}", axis=0
            )
            for i, n in enumerate("qkv")
        )
        scaled = self.op(
            "Mul", [q, self.constant(f"{at}.scale", np.array(size**-0.5, np.float32))], f"{at}.scaled"
        )
        scores = self.op(
            "MatMul", [scaled, self.op("Transpose", [k], f"{at}.kt", perm=[0, 1, 3, 2])], f"{at}.scores"
        )
        mixed = self.op("MatMul", [self.op("Softmax", [scores], f"{at}.softmax", axis=-1), v], f"{at}.mixed")
        joined = self.constant(f"{at}.joined", np.array([self.batch, s.tokens, s.dim], np.int64))
        rows = self.op(
            "Reshape", [self.op("Transpose", [mixed], f"{at}.back", perm=[0, 2, 1, 3]), joined], f"{at}.rows"
        )
        x = self.op("Add", [x, self.linear(rows, s.dim, s.dim, f"{at}.proj")], f"{at}.add1")
        hidden = self.linear(self.norm(x, f"{at}.norm2"), s.dim, s.mlp, f"{at}.fc1")
        return self.op(
            "Add",
            [x, self.linear(self.op("Gelu", [hidden], f"{at}.gelu"), s.mlp, s.dim, f"{at}.fc2")],
            f"{at}.add2",
        )

    def save(self, path: Path) -> None:
        """Write the model to a file."""
        import onnx
        from onnx import TensorProto, helper

        s, rng = self.shape, self.rng
        kernel = (rng.standard_normal((s.dim, 3, s.patch, s.patch)) / np.sqrt(3 * s.patch**2)).astype(
            np.float32
        )
        inputs = [
            "pixels",
            self.constant("patch.weight", kernel),
            self.constant("patch.bias", np.zeros(s.dim, np.float32)),
        ]
        x = self.op("Conv", inputs, "patch", kernel_shape=[s.patch] * 2, strides=[s.patch] * 2)
        flat = self.constant("flat", np.array([self.batch, s.dim, s.tokens - s.prefix], np.int64))
        x = self.op("Transpose", [self.op("Reshape", [x, flat], "patch.flat")], "patch.rows", perm=[0, 2, 1])
        if s.prefix:
            prefix = self.constant(
                "prefix", rng.standard_normal((self.batch, s.prefix, s.dim)).astype(np.float32)
            )
            x = self.op("Concat", [prefix, x], "tokens", axis=1)
        position = self.constant(
            "position", rng.standard_normal((1, s.tokens, s.dim)).astype(np.float32) * np.float32(0.02)
        )
        x = self.op("Add", [x, position], "embedded")
        for index in range(s.depth):
            x = self.block(x, f"blocks.{index}")
        x = self.op(
            "Gather", [self.norm(x, "norm"), self.constant("first", np.array(0, np.int64))], "pool", axis=1
        )
        if s.classes:
            x = self.linear(x, s.dim, s.classes, "head")
        graph = helper.make_graph(
            self.nodes,
            "vit",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [self.batch, 3, *s.image])],
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, [self.batch, s.classes or s.dim])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


def float_model(shape: ViTShape, batch: int, cache: Path) -> Path:
    """Return the float ONNX file, and write it if it is not in the cache."""
    path = cache / f"{shape.key}-b{batch}-fp32.onnx"
    return made_once(path, OnnxViT(shape, batch).save)


def photos(shape: ViTShape, batch: int, count: int = 1) -> list[np.ndarray]:
    """Return batches of seeded random normalized pixels, float32 [B, 3, H, W]."""
    rng = np.random.default_rng(1)
    return [rng.standard_normal((batch, 3, *shape.image)).astype(np.float32) for _ in range(count)]


def qdq_model(shape: ViTShape, batch: int, cache: Path) -> Path:
    """Return ONNX Runtime's static quantization of the float model: uint8 activations, int8 weights per channel."""
    path = cache / f"{shape.key}-b{batch}-qdq.onnx"
    if path.exists():
        return path
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter([{"pixels": x} for x in photos(shape, batch, 2)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.rest, None)

    def make(fresh: Path) -> None:
        quantize_static(
            str(float_model(shape, batch, cache)),
            str(fresh),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Conv", "Gemm"],
        )

    return made_once(path, make)


def nncf_model(shape: ViTShape, batch: int, cache: Path) -> Path:
    """Return NNCF's post-training quantization for transformers, in OpenVINO's format."""
    path = cache / f"{shape.key}-b{batch}-nncf.xml"
    if path.exists():
        return path
    import nncf
    import openvino

    model = openvino.Core().read_model(str(float_model(shape, batch, cache)))
    dataset = nncf.Dataset(photos(shape, batch, 4))
    quantized = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=4)
    return made_once(path, lambda fresh: openvino.save_model(quantized, str(fresh)))
