"""Weight files as people have them: one state dict written in every way that training scripts and libraries write one.

``WRAPPERS`` maps a name to a function that writes a file of a state dict and returns its path; every one must load as
the same model without ``--key``.
"""

import argparse
import collections
import datetime
import json
import pathlib
import pickle
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

State = dict[str, Tensor]
Writer = Callable[[State, Path], Path]


def plain(state: State) -> State:
    """Whole tensors that share no memory, as safetensors wants them."""
    return {name: value.detach().contiguous().clone() for name, value in state.items()}


def under(prefix: str, state: State) -> State:
    """The names with a prefix."""
    return {prefix + name: value for name, value in state.items()}


def _torch(name: str, wrap: Callable[[State], Any], **options: Any) -> Writer:
    """Write ``torch.save`` of what ``wrap`` makes of a state dict."""

    def write(state: State, folder: Path) -> Path:
        torch.save(wrap(state), folder / name, **options)
        return folder / name

    return write


def _safetensors(name: str, wrap: Callable[[State], State]) -> Writer:
    """Write a safetensors file of what ``wrap`` makes of a state dict."""

    def write(state: State, folder: Path) -> Path:
        save_file(plain(wrap(state)), folder / name)
        return folder / name

    return write


def _shards(suffix: str) -> Writer:
    """Write two files and the index that transformers writes beside them."""

    def write(state: State, folder: Path) -> Path:
        stem = "model" if suffix == "safetensors" else "pytorch_model"
        names, places = sorted(state), {}
        for number, part in enumerate((names[::2], names[1::2]), 1):
            file = f"{stem}-0000{number}-of-00002.{suffix}"
            tensors = plain({name: state[name] for name in part})
            save_file(tensors, folder / file) if suffix == "safetensors" else torch.save(
                tensors, folder / file
            )
            places |= dict.fromkeys(part, file)
        index = folder / f"{stem}.{suffix}.index.json"
        index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
        return index

    return write


def _optimizer(state: State) -> dict[str, Any]:
    """What an optimizer leaves in a checkpoint: tensors without names."""
    return {
        "state": {i: {"exp_avg": torch.zeros(3), "step": torch.tensor(4.0)} for i in range(3)},
        "param_groups": [],
    }


def timm_saver(state: State, arch: str = "") -> dict[str, Any]:
    """What timm's ``CheckpointSaver`` writes; its ``arch`` is the architecture."""
    space = argparse.Namespace(lr=1e-3, output=pathlib.PurePosixPath("out"), model=arch, mean=None)
    found = {
        "epoch": 7,
        "state_dict": collections.OrderedDict(state),
        "optimizer": _optimizer(state),
        "version": 2,
    }
    return found | {"args": space, "metric": np.float64(0.9), **({"arch": arch} if arch else {})}


def _others(state: State) -> State:
    """The same names with other values: the weights that training did not end with."""
    return {name: value + 1 for name, value in state.items()}


class Foreign:
    """A class that p2vit cannot know: it is pickled by its name."""

    def __init__(self) -> None:
        self.values = {"a": torch.zeros(2)}


class ForeignDict(dict):
    """A dict of a class that p2vit cannot know, as many configurations are."""


WRAPPERS: dict[str, Writer] = {
    "state dict .pth": _torch("a.pth", dict),
    "state dict .pt": _torch("a.pt", collections.OrderedDict),
    "no suffix": _torch("weights", dict),
    "odd suffix": _torch("a.weights", dict),
    "safetensors": _safetensors("a.safetensors", dict),
    "safetensors named .pth": _safetensors("b.pth", dict),
    "torch file named .safetensors": _torch("c.safetensors", dict),
    "legacy pickle": _torch("a.bin", dict, _use_new_zipfile_serialization=False),
    "legacy pickle in a wrapper": _torch(
        "l.tar", lambda s: {"model": s, "args": argparse.Namespace(a=1)}, _use_new_zipfile_serialization=False
    ),
    "model": _torch("a.pth", lambda s: {"model": s, "epoch": 3}),
    "state_dict": _torch("a.pth", lambda s: {"state_dict": s, "epoch": 3}),
    "model_state_dict": _torch(
        "a.pth", lambda s: {"model_state_dict": s, "optimizer_state_dict": _optimizer(s)}
    ),
    "net": _torch("a.pth", lambda s: {"net": s, "acc": 91.2}),
    "weights": _torch("a.pth", lambda s: {"weights": s}),
    "teacher alone": _torch("a.pth", lambda s: {"teacher": under("backbone.", s)}),
    "two wrappers": _torch("a.pth", lambda s: {"checkpoint": {"model": {"state_dict": s}}}),
    "module. prefix": _torch("a.pth", lambda s: {"model": under("module.", s)}),
    "module. in safetensors": _safetensors("a.safetensors", lambda s: under("module.", s)),
    "_orig_mod. prefix": _torch("a.pth", lambda s: under("_orig_mod.", s)),
    "net. prefix": _torch("a.pth", lambda s: {"state_dict": under("net.", s)}),
    "encoder. in safetensors": _safetensors("a.safetensors", lambda s: under("encoder.", s)),
    "five prefixes": _torch("a.pth", lambda s: under("module._orig_mod.model.backbone.vit_model.", s)),
    "beside a projector": _torch(
        "a.pth", lambda s: {"state_dict": under("backbone.", s) | {"projector.0.weight": torch.ones(4, 4)}}
    ),
    "beside a projector in safetensors": _safetensors(
        "a.safetensors", lambda s: under("backbone.", s) | {"projector.0.weight": torch.ones(4, 4)}
    ),
    "beside a decoder": _torch(
        "a.pth", lambda s: {"model": s | {"decoder_blocks.0.attn.qkv.weight": torch.ones(6, 2)}}
    ),
    "beside a loss": _torch(
        "a.pth", lambda s: {"state_dict": under("model.", s) | {"loss.center": torch.ones(3)}}
    ),
    "Lightning": _torch(
        "last.ckpt",
        lambda s: {
            "state_dict": under("model.", s),
            "callbacks": {"early": {"best": torch.tensor(0.5)}},
            "loops": {},
            "hyper_parameters": {"lr": 1e-3},
            "optimizer_states": [_optimizer(s)],
        },
    ),
    "average and weights": _torch("a.pth", lambda s: {"state_dict": _others(s), "state_dict_ema": s}),
    "average of timm": _torch("a.pth", lambda s: {"model": _others(s), "model_ema": s}),
    "saved twice": _torch("a.pth", lambda s: {"model": s, "state_dict": s}),
    "Namespace": _torch("a.pth", lambda s: {"model": s, "args": argparse.Namespace(lr=1e-3)}),
    "NumPy values": _torch(
        "a.pth",
        lambda s: {
            "model": s,
            "metric": np.float64(0.9),
            "curve": np.arange(3.0),
            "count": np.int64(3),
            "names": np.array(["a", "b"]),
            "rng": ("MT19937", np.arange(9, dtype=np.uint32), 3, 0, 0.0),
        },
    ),
    "plain data": _torch(
        "a.pth",
        lambda s: {
            "model": s,
            "path": pathlib.PurePosixPath("a/b"),
            "time": datetime.datetime(2020, 1, 1),
            "seen": collections.defaultdict(list, a=[1]),
            "last": collections.deque([1, 2]),
            "count": collections.Counter("ab"),
            "space": types.SimpleNamespace(a=1),
            "set": {1, 2},
            "device": torch.device("cpu"),
            "dtype": torch.float16,
        },
    ),
    "unknown objects": _torch(
        "a.pth", lambda s: {"model": s, "config": ForeignDict(a=1), "logger": Foreign()}
    ),
    "timm's model_best.pth.tar": _torch("model_best.pth.tar", timm_saver),
    "NumPy weights": _torch("a.pth", lambda s: {name: value.numpy() for name, value in s.items()}),
    "parameters": _torch("a.pth", lambda s: {name: torch.nn.Parameter(value) for name, value in s.items()}),
    "float64": _torch("a.pth", lambda s: {name: value.double() for name, value in s.items()}),
    "sharded safetensors": _shards("safetensors"),
    "sharded .bin": _shards("bin"),
}


def with_pickle(state: State, folder: Path) -> Path:
    """``pickle.dump``, which torch does not read."""
    with (folder / "a.pkl").open("wb") as file:
        pickle.dump({"model": state}, file, protocol=4)
    return folder / "a.pkl"
