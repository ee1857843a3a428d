"""Options of workflows: what is checked when they are made, and that the command line has the same defaults."""

import importlib
import pkgutil
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import click
import pytest

import p2vit.workflows.options as package
from p2vit.cli.main import VERBS, cli
from p2vit.errors import P2vitError
from p2vit.workflows.options.base import OptionError, Options, changed, choices, names
from p2vit.workflows.options.evaluate import EvaluateOptions
from p2vit.workflows.options.export import ExportOptions
from p2vit.workflows.options.hardware import CosimOptions, ExploreOptions, SimulateOptions
from p2vit.workflows.options.quantize import QuantizeOptions, SearchOptions

MODULES = [
    importlib.import_module(f"{package.__name__}.{module.name}")
    for module in pkgutil.iter_modules(package.__path__)
]
KINDS = sorted(
    {
        kind
        for module in MODULES
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Options)
        and is_dataclass(kind)
        and kind.__name__.endswith("Options")
    },
    key=lambda kind: kind.__name__,
)
#: Options classes by verb.
VERB_OF = {kind: kind.__name__.removesuffix("Options").lower().replace("evaluate", "eval") for kind in KINDS}
REQUIRED = {SearchOptions: {"budget": "average-bits=6"}}


@pytest.mark.parametrize("kind", KINDS, ids=VERB_OF.get)
def test_options_are_frozen_and_documented(kind):
    options = kind(**REQUIRED.get(kind, {}))
    with pytest.raises(FrozenInstanceError):
        setattr(options, names(kind)[0], None)
    own = set(vars(kind)["__annotations__"])
    assert own == {line.split(":")[0].strip() for line in kind.__doc__.splitlines() if line[8:9].isalpha() and
                   line.startswith(" " * 8)} & own  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=VERB_OF.get)
def test_the_command_line_has_the_same_options_with_the_same_defaults(kind):
    verb = VERB_OF[kind]
    assert verb in VERBS
    command = cli.get_command(None, verb)
    words = []
    for parameter in command.params:
        if parameter.required:
            value = "onnx-integer" if parameter.name == "export_format" else "average-bits=6"
            words += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    given = command.make_context(verb, words).params
    inherited = {field.name for base in kind.__mro__[2:] if is_dataclass(base) for field in fields(base)}
    options = kind(**REQUIRED.get(kind, {}))
    for name in names(kind):
        assert name in given or name in inherited, f"{verb} does not show {name}"
        if name in given:
            wanted = getattr(options, name)
            assert given[name] == (str(wanted) if name == "weight_bits" else wanted), name


@pytest.mark.parametrize("kind", KINDS, ids=VERB_OF.get)
def test_an_option_that_does_not_exist_is_refused_with_the_nearest(kind):
    name = names(kind)[-1]
    with pytest.raises(OptionError, match=rf"there is no option '{name}x'\. Did you mean '{name}'\?"):
        changed(kind, kind(**REQUIRED.get(kind, {})), {f"{name}x": 1})
    with pytest.raises(OptionError, match=rf"there is no option '{name}x'\. Did you mean '{name}'\?"):
        kind(**REQUIRED.get(kind, {}), **{f"{name}x": 1})


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            QuantizeOptions,
            {"calib_images": 0},
            "calib_images is 0: input should be greater than or equal to 1",
        ),
        (QuantizeOptions, {"threads": "many"}, "threads is 'many': input should be a valid integer"),
        (QuantizeOptions, {"pool": "max"}, "pool is 'max': input should be 'token' or 'avg'"),
        (EvaluateOptions, {"batch_size": 2.5}, "batch_size is 2.5: input should be a valid integer"),
        (SimulateOptions, {"weight_bits": 5}, "weight_bits is 5: input should be 4 or 8"),
        (CosimOptions, {"stall": 1}, "stall is 1: input should be less than or equal to 0.95"),
        (SearchOptions, {}, "the option 'budget' is missing"),
        (ExportOptions, {"expose": "head"}, "expose is 'head': input should be a valid tuple"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_wrong_values_are_named_with_what_is_allowed(kind, changes, message):
    with pytest.raises(P2vitError) as caught:
        changed(kind, None, changes)
    assert str(caught.value).startswith(f"{kind.__name__}: {message}")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_lists_and_strings_are_taken_for_tuples_and_paths():
    options = EvaluateOptions(csv="a.csv")
    assert options.csv == Path("a.csv")
    assert ExploreOptions(budget=["area_mm2=3"]).budget == ("area_mm2=3",)
    assert changed(EvaluateOptions, options, {"limit": 3}) == EvaluateOptions(csv="a.csv", limit=3)


def test_choices_are_those_of_the_code_that_uses_them():
    from p2vit.cluster import ENGINES
    from p2vit.workflows.demo import MODELS
    from p2vit.workflows.options.quantize import DemoOptions

    assert choices(ExploreOptions, "engine") == ENGINES
    assert choices(DemoOptions, "benchmark") == tuple(MODELS)
