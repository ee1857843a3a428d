"""Weight files, folders and configurations that are damaged in every way, and what p2vit makes of them.

A case is made from its seed alone. It may be refused or quantized; it may not end in another status than 0 and 2.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from p2vit.cli.main import run as run_command
from p2vit.models.config import ViTConfig
from p2vit.models.sources.hf_layout import FAMILIES
from support.layouts import image_of, timm_state
from support.tiny import model_of, swin_model
from support.wrappers import WRAPPERS, plain

ALLOWED = (0, 2)
#: Written as one safetensors file, where that holds the tensors.
SAFE = "one safetensors file"
State = dict[str, Tensor]
TINY = ViTConfig("tiny", (32, 32), 8, embed_dim=64, depth=2, heads=1, mlp_dim=96, num_classes=3)


@dataclass
class Case:
    """Files of one case, before they are written.

    Attributes:
        kind: What was done, for the counts.
        state: Names -> tensors.
        write: Name of the way in which the tensors are written, of `WRITERS`.
        texts: Name -> content of JSON files beside the weights.
        arguments: Options of the command line.
        folder: The folder is the model, not a file in it.
    """

    kind: str
    state: State
    write: str = "zip"
    texts: dict[str, Any] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    folder: bool = False


def tensors_of(config: Any) -> State:
    """Canonical tensors of a tiny model."""
    made = swin_model(window=4, image_size=(32, 32)) if config == "swin" else model_of(config)
    return {name: value.detach().clone() for name, value in made.module.named_parameters()}


def torchvision_state() -> State:
    """A tiny ViT by torchvision's names."""
    timm, out = timm_state(tensors_of(TINY), TINY), {}
    fixed = {
        "cls_token": "class_token",
        "pos_embed": "encoder.pos_embedding",
        "patch_embed.proj": "conv_proj",
    }
    for name, value in timm.items():
        if ".ls" in name:
            continue
        new = name.replace("blocks.", "encoder.layers.encoder_layer_").replace(
            "attn.qkv.", "self_attention.in_proj_"
        )
        new = (
            new.replace("attn.proj", "self_attention.out_proj")
            .replace("norm1", "ln_1")
            .replace("norm2", "ln_2")
        )
        new = new.replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")
        for old, other in fixed.items():
            new = new.replace(old, other)
        out["encoder.ln." + new[5:] if new.startswith("norm.") else new] = value
    own = tensors_of(TINY)
    return out | {"heads.head.weight": own["head.weight"], "heads.head.bias": own["head.bias"]}


def torchvision_swin_state() -> State:
    """A tiny Swin by torchvision's names."""
    state, out = tensors_of("swin"), {}
    names = {
        "fc1": "mlp.0",
        "fc2": "mlp.3",
        "proj": "attn.proj",
        "bias_table": "attn.relative_position_bias_table",
    }
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "patch_embed":
            out[f"features.0.0.{parts[-1]}"] = image_of(value, 4) if parts[-1] == "weight" else value
        elif parts[0] == "pre_norm":
            out[f"features.0.2.{parts[-1]}"] = value
        elif parts[0] != "blocks":
            out[name] = value
        elif parts[2] == "merge":
            if parts[3:] != ["reduction", "bias"]:
                out[f"features.2.{'.'.join(parts[3:])}"] = value
        elif parts[2] == "q":
            at = f"blocks.{parts[1]}."
            fused = torch.cat([state[f"{at}{letter}.{parts[-1]}"] for letter in "qkv"])
            out[f"features.{_place(parts[1])}.attn.qkv.{parts[-1]}"] = fused
        elif parts[2] not in "kv":
            rest = ".".join([names.get(parts[2], parts[2]), *parts[3:]])
            out[f"features.{_place(parts[1])}.{rest}"] = value
    return out


def _place(number: str) -> str:
    """Stage and block of a Swin of two stages with two blocks each, as torchvision counts them."""
    return f"{1 + 2 * (int(number) // 2)}.{int(number) % 2}"


def transformers_files(kind: str) -> tuple[State, dict[str, Any]]:
    """A tiny model by transformers' names, and its config.json."""
    own, family = tensors_of(TINY), FAMILIES[kind]
    p = family.prefix
    out = {
        f"{p}{family.patch}.weight": image_of(own["patch_embed.weight"], TINY.patch_size),
        f"{p}{family.patch}.bias": own["patch_embed.bias"],
        f"{p}{family.class_token}": own["prefix"][None],
        f"{p}{family.positions}": own["position"][None],
        "classifier.weight": own["head.weight"]
        if kind == "vit"
        else torch.cat([own["head.weight"]] * 2, dim=1),
        "classifier.bias": own["head.bias"],
    }
    for part in ("weight", "bias"):
        out[f"{p}{family.norm}.{part}"] = own[f"norm.{part}"]
        for index in range(TINY.depth):
            for name in ("norm1", "norm2", "q", "k", "v", "proj", "fc1", "fc2"):
                new = f"{p}{family.layer.format(index)}{getattr(family, name)}.{part}"
                out[new] = own[f"blocks.{index}.{name}.{part}"]
    for index in range(TINY.depth):
        for scale in filter(None, (family.scale1, family.scale2)):
            out[f"{p}{family.layer.format(index)}{scale}"] = torch.ones(TINY.embed_dim)
    meta = {
        "model_type": kind,
        "architectures": ["ViTForImageClassification" if kind == "vit" else "Dinov2ForImageClassification"],
        "hidden_size": TINY.embed_dim,
        "num_hidden_layers": TINY.depth,
        "num_attention_heads": TINY.heads,
        "intermediate_size": TINY.mlp_dim,
        "mlp_ratio": TINY.mlp_dim / TINY.embed_dim,
        "image_size": TINY.image_size[0],
        "patch_size": TINY.patch_size,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "id2label": {"0": "a", "1": "b", "2": "c"},
        "qkv_bias": True,
        "num_channels": 3,
    }
    processor = {
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "ViTImageProcessor",
    }
    return out, {"config.json": meta, "preprocessor_config.json": processor}


def timm_hub_files() -> tuple[State, dict[str, Any]]:
    """A tiny ViT as timm saves it to the Hub."""
    own = tensors_of(TINY)
    state = timm_state(own, TINY) | {"head.weight": own["head.weight"], "head.bias": own["head.bias"]}
    meta = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 3,
        "num_features": 64,
        "global_pool": "token",
        "model_args": {
            "img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 1, "mlp_ratio": 1.5
        },
        "label_names": ["a", "b", "c"],
        "pretrained_cfg": {
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "crop_pct": 0.9,
            "crop_mode": "center", "input_size": [3, 32, 32],
        },
    }  # fmt: skip
    return state, {"config.json": meta}


def originals() -> dict[str, Case]:
    """What is damaged; every one of them is quantized as it stands."""
    digits = {n: v.detach().clone() for n, v in model_of(_digits()).module.named_parameters()}
    hub, hub_texts = timm_hub_files()
    vit, vit_texts = transformers_files("vit")
    dino, dino_texts = transformers_files("dinov2")
    arch = ["--arch", "digits"]
    timm = timm_state(digits, _digits()) | {name: digits[name] for name in ("head.weight", "head.bias")}
    return {
        "own": Case("own", digits, SAFE, arguments=arch),
        "timm": Case("timm", timm, arguments=arch),
        "timm, legacy": Case("timm, legacy", timm, "legacy", arguments=arch),
        "torchvision": Case("torchvision", torchvision_state(), SAFE),
        "torchvision swin": Case(
            "torchvision swin", torchvision_swin_state(), arguments=["--image-size", "32"]
        ),
        "timm hub": Case("timm hub", hub, SAFE, hub_texts, folder=True),
        "vit": Case("vit", vit, SAFE, vit_texts, folder=True),
        "dinov2": Case("dinov2", dino, SAFE, dino_texts, folder=True),
    }


def _digits() -> ViTConfig:
    from p2vit.models.architectures import DIGITS

    assert isinstance(DIGITS.config, ViTConfig)
    return DIGITS.config


def _pick(rng: np.random.Generator, values: Any) -> Any:
    """One of some values, as it is."""
    values = list(values)
    return values[int(rng.integers(len(values)))]


def _some_name(case: Case, rng: np.random.Generator) -> str:
    return _pick(rng, case.state) if case.state else ""


def drop(case: Case, rng: np.random.Generator) -> None:
    """Some tensors are missing."""
    for _ in range(int(rng.integers(1, 4))):
        case.state.pop(_some_name(case, rng), None)


def rename(case: Case, rng: np.random.Generator) -> None:
    """A tensor has another name."""
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
    case.state[_pick(rng, odd)] = case.state.pop(name)


def add(case: Case, rng: np.random.Generator) -> None:
    """A tensor too many, which may change what the model is."""
    names = (
        "dist_token", "head_dist.weight", "reg_token", "mask_token", "fc_norm.weight", "norm_pre.weight",
        "extra.weight",
        "blocks.2.norm1.weight", "blocks.0.attn.q_norm.weight", "model.blocks.0.attn.qkv.weight", "attn_pool.latent",
        "layers.0.blocks.0.attn.relative_position_bias_table", "encoder.layer.0.attention.attention.query.weight",
        "projector.weight", "decoder.0.weight", "classifier.weight", "vision_model.head.probe", "blocks.0.ls1.gamma",
    )  # fmt: skip
    shape = [int(rng.integers(0, 4)) or 64 for _ in range(int(rng.integers(0, 4)))]
    case.state[_pick(rng, names)] = torch.randn(*shape) if shape else torch.tensor(1.0)


def reshape(case: Case, rng: np.random.Generator) -> None:
    """A tensor of another shape."""
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
    case.state[name] = _pick(rng, changes)()


def retype(case: Case, rng: np.random.Generator) -> None:
    """Tensors of other types; those that safetensors cannot hold are written by torch."""
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
        with contextlib.suppress(RuntimeError, TypeError):  # what is changed already may not be changed again
            case.state[name] = changes[index](case.state[name].float())


def scale(case: Case, rng: np.random.Generator) -> None:
    """Numbers that no trained model has."""
    names = list(case.state) if rng.random() < 0.5 else [_some_name(case, rng)]
    factor = _pick(
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
    """Values in a configuration that mean nothing."""
    if not case.texts:
        return
    content = case.texts[_pick(rng, case.texts)]
    for _ in range(int(rng.integers(1, 4))):
        place = content
        while (
            isinstance(place, dict)
            and rng.random() < 0.3
            and (inner := [k for k in place if isinstance(place[k], dict)])
        ):
            place = place[_pick(rng, inner)]
        key = _pick(rng, NEW_KEYS) if rng.random() < 0.3 or not place else _pick(rng, place)
        if rng.random() < 0.15:
            place.pop(key, None)
        else:
            place[key] = _pick(rng, ODD_VALUES)


def rewrap(case: Case, rng: np.random.Generator) -> None:
    """Another way to write the same tensors, with another inside it or not."""
    if not case.folder:
        case.write = _pick(rng, WRAPPERS)


def twice(case: Case, rng: np.random.Generator) -> None:
    """Two models in a file."""
    first, second = (
        _pick(rng, ("student.", "model.", "a.b.", "")),
        _pick(rng, ("teacher.", "ema.", "model_ema.", "c.")),
    )
    case.state = {first + n: v for n, v in case.state.items()} | {
        second + n: v for n, v in case.state.items()
    }


def ask(case: Case, rng: np.random.Generator) -> None:
    """Options that do not fit."""
    more = (
        ["--key", "nothing"], ["--key", ""], ["--key", "model"], ["--arch", "vit_tiny_patch16_224"],
        ["--arch", "swin_tiny_patch4_window7_224"], ["--image-size", "64"], ["--image-size", "1"],
        ["--image-size", "8x200"],
        ["--heads", "3"], ["--heads", "1000"], ["--arch", "deit_tiny_distilled_patch16_224"], ["--arch", "no such"],
    )  # fmt: skip
    case.arguments = [*case.arguments, *_pick(rng, more)]


CHANGES = {
    change.__name__: change
    for change in (drop, rename, add, reshape, retype, scale, reconfigure, rewrap, twice, ask)
}


def flip(data: bytearray, rng: np.random.Generator) -> None:
    """Bits are other than they were; mostly at the start, where the structure is."""
    for _ in range(int(rng.integers(1, 20))):
        reach = len(data) if rng.random() < 0.4 else min(len(data), 2000)
        data[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))


def tail(data: bytearray, rng: np.random.Generator) -> None:
    """As `flip`, near the end, where zip archives have their table."""
    for _ in range(int(rng.integers(1, 20))):
        data[len(data) - 1 - int(rng.integers(min(len(data), 3000)))] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    """The end is missing."""
    del data[int(rng.integers(len(data))) :]


def blank(data: bytearray, rng: np.random.Generator) -> None:
    """A stretch of zeros or of noise."""
    start, count = int(rng.integers(len(data))), int(rng.integers(1, 400))
    count = min(count, len(data) - start)
    data[start : start + count] = bytes(count) if rng.random() < 0.5 else rng.bytes(count)


def insert(data: bytearray, rng: np.random.Generator) -> None:
    """A stretch too many, or one that is missing."""
    start, count = int(rng.integers(len(data))), int(rng.integers(1, 100))
    if rng.random() < 0.5:
        del data[start : start + count]
    else:
        data[start:start] = rng.bytes(count)


def digit(data: bytearray, rng: np.random.Generator) -> None:
    """Numbers in the text at the start are others: sizes, offsets."""
    places = [i for i, byte in enumerate(data[:6000]) if 48 <= byte <= 57]
    for _ in range(int(rng.integers(1, 5))):
        if places:
            data[_pick(rng, places)] = 48 + int(rng.integers(10))


DAMAGE = {change.__name__: change for change in (flip, tail, cut, blank, insert, digit)}
KINDS = (*CHANGES, *DAMAGE)


def make(seed: int, bases: dict[str, Case]) -> tuple[Case, str | None]:
    """A case and the damage to its bytes, from its seed.

    Args:
        seed: Of the case.
        bases: `originals`.
    """
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    base = bases[_pick(rng, [n for n in bases if kind != "reconfigure" or bases[n].texts])]
    case = Case(
        kind,
        dict(base.state),
        base.write,
        json.loads(json.dumps(base.texts)),
        list(base.arguments),
        base.folder,
    )
    if kind in CHANGES:
        CHANGES[kind](case, rng)
        while rng.random() < 0.25:
            with contextlib.suppress(
                RuntimeError, TypeError, IndexError
            ):  # one change may be in another's way
                CHANGES[_pick(rng, CHANGES)](case, rng)
        return case, None
    return case, kind


def write(case: Case, damage: str | None, place: Path, rng: np.random.Generator) -> Path:
    """Write the files of a case; returns what to name on the command line."""
    for name, content in case.texts.items():
        (place / name).write_text(json.dumps(content))
    if case.folder:
        file = place / ("model.safetensors" if case.write == SAFE else "pytorch_model.bin")
    else:
        file = place / "weights.pth"
    if case.write in WRAPPERS:
        try:
            file = WRAPPERS[case.write](case.state, place)
        except (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError):
            torch.save(case.state, file)  # tensors that this way cannot hold
    elif case.write == SAFE:
        try:
            file.write_bytes(save(plain(case.state)))
        except (RuntimeError, TypeError, ValueError, NotImplementedError, KeyError):
            torch.save(case.state, file)
    else:
        torch.save(case.state, file, _use_new_zipfile_serialization=case.write != "legacy")
    if damage:
        targets = [path for path in place.iterdir() if path.is_file()] if rng.random() < 0.3 else [file]
        target = _pick(rng, sorted(targets))
        data = bytearray(target.read_bytes())
        DAMAGE[damage](data, rng)
        target.write_bytes(bytes(data))
    return place if case.folder else file


@dataclass
class Found:
    """What came of a case.

    Attributes:
        kind: Of the damage.
        code: Exit status.
        failures: What may not be, in words; empty if all is well.
    """

    kind: str
    code: int
    failures: list[str]


def run(seed: int, bases: dict[str, Case], place: Path) -> Found:
    """One case through ``p2vit quantize``, in this process.

    Args:
        seed: Of the case.
        bases: `originals`.
        place: A folder of its own; emptied.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    case, damage = make(seed, bases)
    (place / "in").mkdir()
    spec = write(case, damage, place / "in", np.random.default_rng(seed + 1))
    arguments = [
        "quantize",
        str(spec),
        "--data",
        "noise",
        "-o",
        str(place / "out"),
        "--calib-images",
        "2",
        "--threads",
        "1",
    ]
    if seed % 10:
        arguments.append("--no-check")  # of the rest, the original library is asked too
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command([*arguments, *case.arguments, "--json"])
    failures, said = [], err.getvalue()
    where = f"seed {seed}, {case.kind}"
    if code not in ALLOWED:
        failures.append(f"{where}: exits with {code}: {said.strip()[-400:]}")
    try:
        json.loads(out.getvalue())
    except ValueError:
        failures.append(f"{where}: prints no JSON object: {out.getvalue()[:100]!r}")
    if "Traceback" in said or "\x1b" in said or "add_safe_globals" in said:
        failures.append(f"{where}: prints {said[-300:]!r}")
    if (place / "out").exists() != (code == 0):
        failures.append(f"{where}: status {code}, and a program is {'there' if code else 'not there'}")
    return Found(case.kind, code, failures)
