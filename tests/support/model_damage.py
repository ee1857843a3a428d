"""Changes that damage model files: to their tensors and configurations, or to their bytes."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from support.model_files import Case
from support.wrappers import WRAPPERS


def pick(rng: np.random.Generator, values: Any) -> Any:
    """Draw one of some values."""
    values = list(values)
    return values[int(rng.integers(len(values)))]


def _some_name(case: Case, rng: np.random.Generator) -> str:
    return pick(rng, case.state) if case.state else ""


def drop(case: Case, rng: np.random.Generator) -> None:
    """Remove tensors."""
    for _ in range(int(rng.integers(1, 4))):
        case.state.pop(_some_name(case, rng), None)


def rename(case: Case, rng: np.random.Generator) -> None:
    """Rename a tensor."""
    name = _some_name(case, rng)
    odd = (
        "",
        ".",
        "a\x1b[31m",
        "blocks.999999999.norm1.weight",
        "é" * 50,
        name.replace("0", "7"),
        name + ".x",
        "x." + name,
    )
    case.state[pick(rng, odd)] = case.state.pop(name)


def add(case: Case, rng: np.random.Generator) -> None:
    """Add a tensor, which may make the model look like one of another kind."""
    names = (
        "dist_token", "head_dist.weight", "reg_token", "mask_token", "fc_norm.weight", "norm_pre.weight",
        "extra.weight",
        "blocks.2.norm1.weight", "blocks.0.attn.q_norm.weight", "model.blocks.0.attn.qkv.weight", "attn_pool.latent",
        "layers.0.blocks.0.attn.relative_position_bias_table", "encoder.layer.0.attention.attention.query.weight",
        "projector.weight", "decoder.0.weight", "classifier.weight", "vision_model.head.probe", "blocks.0.ls1.gamma",
    )  # fmt: skip
    shape = [int(rng.integers(0, 4)) or 64 for _ in range(int(rng.integers(0, 4)))]
    case.state[pick(rng, names)] = torch.randn(*shape) if shape else torch.tensor(1.0)


def reshape(case: Case, rng: np.random.Generator) -> None:
    """Change the shape of a tensor."""
    name = _some_name(case, rng)
    value = case.state[name]
    changes: tuple[Callable[[], Tensor], ...] = (
        lambda: value.flatten(),
        lambda: value[None],
        lambda: value.flatten()[:0],
        lambda: value.flatten()[0],
        lambda: value.transpose(0, -1).contiguous() if value.ndim else value,
        lambda: torch.cat([value, value]) if value.ndim else value,
        lambda: value[: len(value) // 2] if value.ndim else value,
        lambda: torch.zeros(1, 1, 1, 1, 1),
    )
    case.state[name] = pick(rng, changes)()


def retype(case: Case, rng: np.random.Generator) -> None:
    """Change the dtype or layout of tensors. Types that safetensors does not support are written by torch."""
    names = list(case.state) if rng.random() < 0.5 else [_some_name(case, rng)]
    changes: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda v: v.half(),
        lambda v: v.bfloat16(),
        lambda v: v.double(),
        lambda v: v.to(torch.int32),
        lambda v: v.to(torch.int8),
        lambda v: v.bool(),
        lambda v: v.to(torch.float8_e4m3fn),
        lambda v: v.to(torch.float8_e5m2),
        lambda v: v.to(torch.complex64),
        lambda v: v.to_sparse() if v.ndim else v,
        lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8),
        lambda v: v.to("meta"),
        lambda v: torch.zeros((), dtype=v.dtype).expand(v.shape),
        lambda v: torch.zeros(1).expand(1 << 20, 1 << 12),
    )
    index = int(rng.integers(len(changes)))
    if index > 7:
        case.write = "zip"
    for name in names:
        with contextlib.suppress(RuntimeError, TypeError):  # some changes cannot be combined
            case.state[name] = changes[index](case.state[name].float())


def scale(case: Case, rng: np.random.Generator) -> None:
    """Scale tensors to values that no trained model has."""
    names = list(case.state) if rng.random() < 0.5 else [_some_name(case, rng)]
    factor = pick(
        rng, (0.0, 1e-38, 1e-30, 1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12, 1e30, float("inf"), float("nan"))
    )
    for name in names:
        if case.state[name].dtype.is_floating_point and case.state[name].element_size() > 1:
            case.state[name] = case.state[name] * factor


ODD_VALUES: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 7, 64, 224, 10**9, 10**30, 1e-30, 0.5, 1.5, 1e300, float("inf"), float("nan"), True, None,
    "", "a", "0", [],
    [0], [1, 2, 3], [1e9, 1e9], {}, {"a": 1}, {"height": 0, "width": 5}, {"shortest_edge": 10**9}, [[]],
    "\x1b[31m", "gelu_new",
    ["a", "b", "c"], {"0": "a", "1": None, "x": []}, {"0": "a", "00": "b", "1": "c"}, [0.1, 0.2, 0.3], [0, 0,
    0], "avg", "token",
)  # fmt: skip
NEW_KEYS = (
    "use_swiglu_ffn", "vision_config", "hidden_act", "num_register_tokens", "depths", "num_heads", "embed_dim",
    "model_args",
    "pretrained_cfg", "label_names", "do_center_crop", "crop_size", "crop_pct", "do_rescale", "rescale_factor",
    "do_normalize",
    "image_mean", "image_std", "resample", "size", "window_size", "torch_dtype", "num_labels", "id2label",
    "pooling", "architectures",
)  # fmt: skip


def reconfigure(case: Case, rng: np.random.Generator) -> None:
    """Put invalid values into a configuration."""
    if not case.texts:
        return
    content = case.texts[pick(rng, case.texts)]
    for _ in range(int(rng.integers(1, 4))):
        place = content
        while (
            isinstance(place, dict)
            and rng.random() < 0.3
            and (inner := [k for k in place if isinstance(place[k], dict)])
        ):
            place = place[pick(rng, inner)]
        key = pick(rng, NEW_KEYS) if rng.random() < 0.3 or not place else pick(rng, place)
        if rng.random() < 0.15:
            place.pop(key, None)
        else:
            place[key] = pick(rng, ODD_VALUES)


def rewrap(case: Case, rng: np.random.Generator) -> None:
    """Write the same tensors in another format or wrapper."""
    if not case.folder:
        case.write = pick(rng, WRAPPERS)


def twice(case: Case, rng: np.random.Generator) -> None:
    """Put two models into one file."""
    first, second = (
        pick(rng, ("student.", "model.", "a.b.", "")),
        pick(rng, ("teacher.", "ema.", "model_ema.", "c.")),
    )
    case.state = {first + n: v for n, v in case.state.items()} | {
        second + n: v for n, v in case.state.items()
    }


def ask(case: Case, rng: np.random.Generator) -> None:
    """Add command-line options that do not fit the model."""
    more = (
        ["--key", "nothing"], ["--key", ""], ["--key", "model"], ["--arch", "vit_tiny_patch16_224"],
        ["--arch", "swin_tiny_patch4_window7_224"], ["--image-size", "64"], ["--image-size", "1"],
        ["--image-size", "8x200"],
        ["--heads", "3"], ["--heads", "1000"], ["--arch", "deit_tiny_distilled_patch16_224"], ["--arch", "no such"],
    )  # fmt: skip
    case.arguments = [*case.arguments, *pick(rng, more)]


CHANGES = {
    change.__name__: change
    for change in (drop, rename, add, reshape, retype, scale, reconfigure, rewrap, twice, ask)
}


def flip(data: bytearray, rng: np.random.Generator) -> None:
    """Flip bits, mostly at the start of the file, where its structure is."""
    for _ in range(int(rng.integers(1, 20))):
        reach = len(data) if rng.random() < 0.4 else min(len(data), 2000)
        data[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))


def tail(data: bytearray, rng: np.random.Generator) -> None:
    """Flip bits near the end of the file, where zip archives have their directory."""
    for _ in range(int(rng.integers(1, 20))):
        data[len(data) - 1 - int(rng.integers(min(len(data), 3000)))] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    """Cut off the end of the file."""
    del data[int(rng.integers(len(data))) :]


def blank(data: bytearray, rng: np.random.Generator) -> None:
    """Overwrite bytes with zeros or noise."""
    start, count = int(rng.integers(len(data))), int(rng.integers(1, 400))
    count = min(count, len(data) - start)
    data[start : start + count] = bytes(count) if rng.random() < 0.5 else rng.bytes(count)


def insert(data: bytearray, rng: np.random.Generator) -> None:
    """Insert or delete bytes."""
    start, count = int(rng.integers(len(data))), int(rng.integers(1, 100))
    if rng.random() < 0.5:
        del data[start : start + count]
    else:
        data[start:start] = rng.bytes(count)


def digit(data: bytearray, rng: np.random.Generator) -> None:
    """Change digits in the text at the start of the file, such as sizes and offsets."""
    places = [i for i, byte in enumerate(data[:6000]) if 48 <= byte <= 57]
    for _ in range(int(rng.integers(1, 5))):
        if places:
            data[pick(rng, places)] = 48 + int(rng.integers(10))


DAMAGE = {change.__name__: change for change in (flip, tail, cut, blank, insert, digit)}
KINDS = (*CHANGES, *DAMAGE)
