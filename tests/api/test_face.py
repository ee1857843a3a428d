"""The public face: light to import, complete, typed, and with examples that run."""

import ast
import doctest
import importlib.resources
import inspect
import json
import pkgutil
import subprocess
import sys

import numpy as np
import pytest

import p2vit
from p2vit.api import functions, program, results, runnable
from p2vit.errors import P2vitError

#: Seconds that `import p2vit` may take in a fresh process, beyond the interpreter's own start.
MOST_SECONDS = 0.2
#: What has nothing to refuse.
NEVER_FAIL = ("QuantizedProgram.audit", "QuantizedProgram.logit_exponents")
HEAVY = ("torch", "numpy", "click", "pydantic", "rich", "PIL", "jinja2", "scipy", "onnx")


def test_importing_is_light():
    """Without torch and NumPy; the fastest of three, because other processes may be at work."""
    code = (
        "import sys, time; start = time.perf_counter(); import p2vit; seconds = time.perf_counter() - start;"
        "import json; print(json.dumps([seconds, list(sys.modules)]))"
    )
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
        for _ in range(3)
    ]  # fmt: skip
    assert min(seconds for seconds, _ in runs) < MOST_SECONDS
    for _, modules in runs:
        assert not {name.split(".")[0] for name in modules} & set(HEAVY)


def test_a_program_is_loaded_and_run_without_torch(digits_program):
    code = (
        "import sys, p2vit, numpy; q = p2vit.load(sys.argv[1]);"
        "q.predict(numpy.zeros((9, 9, 3), numpy.uint8), backend='reference'); q.audit();"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(digits_program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_name_is_there_and_listed():
    for name in p2vit.__all__:
        assert getattr(p2vit, name) is not None
        assert name in dir(p2vit)
    with pytest.raises(AttributeError, match=r"no attribute 'quantise'\. Did you mean 'quantize'\?"):
        p2vit.quantise  # noqa: B018


def test_no_module_hides_a_public_function():
    """An imported submodule becomes an attribute of the package, so it must not have the name of a function."""
    modules = {module.name for module in pkgutil.iter_modules(p2vit.__path__)}
    assert modules & set(p2vit.__all__) == set()


def test_rtl_checks_its_options(digits_program):
    with pytest.raises(P2vitError, match=r"there is no option 'hardwear'\. Did you mean 'hardware'"):
        p2vit.rtl(digits_program, "nowhere", hardwear="rtl")


def test_types_are_shipped():
    assert importlib.resources.files("p2vit").joinpath("py.typed").is_file()


def public():
    """Public functions, classes and methods with their names."""
    for name in p2vit.__all__:
        thing = getattr(p2vit, name)
        if inspect.isclass(thing) and thing.__module__.startswith("p2vit.api"):
            yield name, thing
            own = [kind for kind in thing.__mro__ if kind.__module__.startswith("p2vit.api")]
            for each, value in {key: value for kind in own for key, value in vars(kind).items()}.items():
                if not each.startswith(("_", "model_")) and (
                    inspect.isfunction(value) or isinstance(value, property)
                ):
                    yield f"{name}.{each}", value
        elif inspect.isfunction(thing):
            yield name, thing
    yield "rtl", functions.rtl


@pytest.mark.parametrize(
    ("name", "thing"), list(public()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_public_docstrings_say_arguments_results_and_errors(name, thing):
    text = inspect.getdoc(thing)
    assert text, name
    if not inspect.isfunction(thing):
        return
    signature = inspect.signature(thing)
    for parameter in signature.parameters.values():
        if parameter.name != "self":
            written = {"VAR_KEYWORD": "**", "VAR_POSITIONAL": "*"}.get(
                parameter.kind.name, ""
            ) + parameter.name
            assert f"\n    {written}: " in text, f"{name}: {written} is not described"
    assert "Raises:" in text or name in NEVER_FAIL, name
    assert "Example:" in text, name


@pytest.fixture(scope="module")
def digits(digits_program):
    """The program of the examples."""
    return p2vit.load(digits_program)


def doctests():
    """The examples of what is public."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = (p2vit, functions, program, results, runnable)
    return [test for module in modules for test in finder.find(module, globs={}) if test.examples]


def example(test):
    """Those that take seconds are extended; quicker tests run the same verbs."""
    long = any(word in test.name for word in (".rtl", ".search", ".explore", ".cosim"))
    return pytest.param(test, marks=pytest.mark.extended if long else (), id=test.name)


@pytest.mark.filterwarnings("ignore::p2vit.errors.P2vitWarning")
@pytest.mark.parametrize("test", [example(test) for test in doctests()])
def test_examples_run(test, digits, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    if any(word in test.name for word in ("rtl", "cosim")):
        pytest.importorskip("amaranth")
        pytest.importorskip("pyosys")
    if "explore" in test.name:
        pytest.importorskip("optuna")
    if "export" in test.name or "verify" in test.name:
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    # Examples of methods use the class's.
    test.globs |= {"p2vit": p2vit, "q": digits, "photo": np.zeros((40, 30, 3), np.uint8)}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    told = []
    runner.run(test, out=told.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(told)


def test_exceptions_of_the_interface_chain_no_internals():
    """What raises an error of p2vit while another one is handled says ``from None``."""
    root = importlib.resources.files("p2vit")
    bare = []
    for file in sorted(root.joinpath("api").iterdir(), key=str):
        if not file.name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                bare += [f"{file.name}:{inner.lineno}" for inner in ast.walk(node)
                         if isinstance(inner, ast.Raise) and inner.exc is not None
                         and not (isinstance(inner.cause, ast.Constant) and inner.cause.value is None)]  # fmt: skip
    assert bare == []
