"""The classes and prompts of zero-shot classification, as users give them."""

from dataclasses import replace
from pathlib import Path

from p2vit.data.class_index import read_class_index
from p2vit.data.class_names import display_names
from p2vit.errors import ModelError
from p2vit.models.options import LoadOptions

#: Prompt of a class where none is stated.
TEMPLATE = "a photo of a {}"


def with_classes(options: LoadOptions) -> LoadOptions:
    """Read the file of ``classes``, check the templates, and state the usual template where there is none.

    Args:
        options: Options of loading.

    Returns:
        Options whose ``classes`` are names, so that they can be recorded; the same options where there are no classes.

    Raises:
        ModelError: There is no class, a class is empty or named twice, or a template has no place for the class.
        DataError: The file cannot be read.
    """
    if options.classes is None:
        if options.template:
            raise ModelError("--template: there are no classes to put into it; add --classes FILE")
        return options
    given = options.classes
    names = _names(given) if isinstance(given, str) else tuple(given)
    if not names or not all(name.strip() for name in names):
        raise ModelError(
            f"--classes {given}: there is no class, or one without a name; give one class per line"
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ModelError(f"--classes: '{twice}' is named twice; every class is an output of its own")
    templates = (options.template,) if isinstance(options.template, str) else options.template or (TEMPLATE,)
    for template in templates:
        if template.count("{}") != 1:
            raise ModelError(
                f"--template {template!r} needs one {{}} where the class goes, as in {TEMPLATE!r}"
            )
    return replace(options, classes=names, template=tuple(templates))


def _names(given: str) -> tuple[str, ...]:
    """Names from a file with one class per line, or between commas."""
    file = Path(given)
    try:
        is_file = file.is_file()
    except OSError:  # a list of names may be longer than the name of a file
        is_file = False
    if is_file:
        return display_names(read_class_index(file))
    if "," in given:
        return tuple(name.strip() for name in given.split(","))
    raise ModelError(
        f"--classes {given}: no such file; give a file with one class per line, or names between commas: cat,dog"
    )
