"""The other runtimes of the benchmark, each as a function that runs one batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2vit.bench.models import ViTShape, float_model, nncf_model, photos, qdq_model

Runner = Callable[[], Any]


class Peer(NamedTuple):
    """Another runtime, ready to run.

    Attributes:
        run: Function that runs one batch.
        note: Kind of model that it runs.
        warning: Why it does not run its best model, and what to install; empty if it does.
    """

    run: Runner
    note: str
    warning: str = ""


Maker = Callable[[ViTShape, int, int, Path], Peer]


def onnxruntime_session(path: Path, threads: int, x: np.ndarray) -> Runner:
    """Open a session with all graph optimizations and a limited number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"pixels": x})


def onnxruntime_int8(shape: ViTShape, batch: int, threads: int, cache: Path) -> Peer:
    """Run ONNX Runtime on its own static QDQ quantization."""
    path = qdq_model(shape, batch, cache)
    return Peer(onnxruntime_session(path, threads, photos(shape, batch)[0]), "static QDQ")


def onnxruntime_fp32(shape: ViTShape, batch: int, threads: int, cache: Path) -> Peer:
    """Run ONNX Runtime on the float model."""
    path = float_model(shape, batch, cache)
    return Peer(onnxruntime_session(path, threads, photos(shape, batch)[0]), "float")


def openvino_model(path: Path, threads: int, precision: str, x: np.ndarray) -> Runner:
    """Compile a model for OpenVINO with the latency hint."""
    import openvino

    core = openvino.Core()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    # The objects that the request uses must live as long as the function.
    return lambda alive=(core, compiled, x): request.infer()  # type: ignore[misc]


def openvino_int8(shape: ViTShape, batch: int, threads: int, cache: Path) -> Peer:
    """Run OpenVINO on NNCF's quantization; without NNCF on ONNX Runtime's QDQ model, with a warning."""
    x = photos(shape, batch)[0]
    try:
        path = nncf_model(shape, batch, cache)
    except ImportError as error:
        if (error.name or "").startswith("openvino"):
            raise
        return Peer(
            openvino_model(qdq_model(shape, batch, cache), threads, "f32", x),
            "QDQ (no NNCF)",
            f"openvino-int8 runs ONNX Runtime's static QDQ model, which is not how OpenVINO quantizes: NNCF cannot be "
            f"imported ({error}). To quantize with NNCF: pip install nncf",
        )
    return Peer(openvino_model(path, threads, "f32", x), "NNCF")


def openvino_float(precision: str) -> Maker:
    """Return a maker that runs OpenVINO on the float model."""

    def make(shape: ViTShape, batch: int, threads: int, cache: Path) -> Peer:
        path = float_model(shape, batch, cache)
        return Peer(openvino_model(path, threads, precision, photos(shape, batch)[0]), precision)

    return make


def torch_model(dtype_name: str) -> Maker:
    """Return a maker that runs a ViT of torch modules with fused attention."""

    def make(shape: ViTShape, batch: int, threads: int, cache: Path) -> Peer:
        import torch
        from torch import nn
        from torch.nn import functional

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm1, self.norm2 = nn.LayerNorm(shape.dim), nn.LayerNorm(shape.dim)
                self.qkv, self.proj = nn.Linear(shape.dim, 3 * shape.dim), nn.Linear(shape.dim, shape.dim)
                self.fc1, self.fc2 = nn.Linear(shape.dim, shape.mlp), nn.Linear(shape.mlp, shape.dim)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, shape.heads, -1)).permute(2, 0, 3, 1, 4)
                mixed = functional.scaled_dot_product_attention(*qkv.unbind(0))
                x = x + self.proj(mixed.transpose(1, 2).flatten(2))
                return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))

        class ViT(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.patch = nn.Conv2d(3, shape.dim, shape.patch, shape.patch)
                self.position = nn.Parameter(torch.zeros(1, shape.tokens, shape.dim))
                self.blocks = nn.Sequential(*(Block() for _ in range(shape.depth)))
                self.norm, self.head = nn.LayerNorm(shape.dim), nn.Linear(shape.dim, max(shape.classes, 1))

            def forward(self, pixels: torch.Tensor) -> torch.Tensor:
                patches = functional.pad(
                    self.patch(pixels).flatten(2).transpose(1, 2), (0, 0, shape.prefix, 0)
                )
                return self.head(self.norm(self.blocks(patches + self.position))[:, 0])

        torch.set_num_threads(threads)
        dtype = getattr(torch, dtype_name)
        model = ViT().eval().to(dtype)
        x = torch.from_numpy(photos(shape, batch)[0]).to(dtype)

        def run() -> Any:
            with torch.inference_mode():
                return model(x)

        return Peer(run, dtype_name)

    return make


#: Name of a runtime → function that prepares it.
PEERS: dict[str, Maker] = {
    "openvino-int8": openvino_int8,
    "openvino-bf16": openvino_float("bf16"),
    "openvino-fp32": openvino_float("f32"),
    "onnxruntime-int8": onnxruntime_int8,
    "onnxruntime-fp32": onnxruntime_fp32,
    "torch-fp32": torch_model("float32"),
    "torch-bf16": torch_model("bfloat16"),
}
#: Short name → full name: the int8 model, or float32 for torch.
ALIASES = {"openvino": "openvino-int8", "onnxruntime": "onnxruntime-int8", "torch": "torch-fp32"}
