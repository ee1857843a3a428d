"""Read and validate YAML files. One error reports all problems of a file, each with its line."""

from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from p2vit.accel.problems import AccelError, suggestion

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path, model: type[Model], next_step: str = "") -> Model:
    """Read and validate one file.

    Args:
        path: YAML file.
        model: Model that the file must match; unknown and duplicate keys are refused.
        next_step: Advice that ends the error message.

    Returns:
        Validated model.

    Raises:
        AccelError: The file is not valid. The message gives line, key, fault and allowed values of each problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AccelError(
            str(path), [f"cannot be read: {getattr(error, 'strerror', None) or error}"], next_step
        ) from None
    data = _parse(path, text, next_step)
    try:
        return model.model_validate(_plain(data))
    except ValidationError as error:
        described = kind(data) if (kind := getattr(model, "kind_of", None)) else model
        problems = [_problem(data, described, dict(item)) for item in error.errors()]
        raise AccelError(str(path), problems, next_step) from None


def _parse(path: Path, text: str, next_step: str) -> Any:
    try:
        data = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else "?"
        what = str(error.problem).split(" with value")[0]
        raise AccelError(str(path), [f"line {line}: {what}; write each key once"], next_step) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else "?"
        raise AccelError(str(path), [f"line {line}: not YAML: {error.problem}"], next_step) from None
    except YAMLError as error:
        raise AccelError(str(path), [f"not YAML: {str(error).splitlines()[0]}"], next_step) from None
    if not isinstance(data, dict):
        raise AccelError(str(path), ["line 1: must hold keys and values"], next_step)
    return data


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    # ruamel stores the spelling of a number in subclasses of int and float; the model needs plain numbers.
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _problem(data: Any, model: type[BaseModel], error: dict[str, Any]) -> str:
    location = tuple(error["loc"])
    key = ".".join(str(step) for step in location)
    line = _line(data, location)
    where = f"line {line}: {key}" if line else key
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key; {suggestion(str(location[-1]), _fields_at(model, location[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: missing; it must be given"
    if not location:  # a fault of several keys together
        return str(error["ctx"]["error"])
    return f"{where}: {error['msg']}, not {error['input']!r}"


def _line(data: Any, location: tuple[Any, ...]) -> int | None:
    """Return the line of the key at ``location``, or of the nearest enclosing key."""
    line: int | None = None
    node: Any = data
    for step in location:
        try:
            marks = getattr(node, "lc")  # noqa: B009 - ruamel adds it to dict and list
            mark = marks.key(step) if isinstance(node, dict) else marks.item(step)
            line, node = mark[0] + 1, node[step]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the names that are allowed at a location in the model."""
    current: Any = model
    for step in location:
        if isinstance(step, int):  # an item of a list or tuple
            current = next(iter(get_args(current)), None)
        elif isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(step)
            current = field.annotation if field else None
            # The type of an optional key is `Thing | None`.
            if type(None) in get_args(current):
                current = next(kind for kind in get_args(current) if kind is not type(None))
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []
