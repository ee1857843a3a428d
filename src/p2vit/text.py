"""Escape names of files, photos and classes for terminals, JSON, HTML and Markdown.

A file name is bytes. Bytes that are not UTF-8 reach Python as lone surrogates (``surrogateescape``), which cannot be
encoded. A name may also contain codes that move a terminal's cursor or change the direction of writing. `portable` is
for machines, and `original` undoes it. `shown` is for people. Names in memory are never escaped. Code that writes a
file or a line escapes them, and code that reads such a file undoes it.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]")
#: Escapes that `portable` writes for a surrogate. A name that already contains such text gets its backslashes doubled.
_WRITTEN = re.compile(r"\\(?:x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
_READ = re.compile(r"\\(?:\\|x([89a-f][0-9a-f])|u(d[89a-f][0-9a-f]{2}))")
#: Control codes, marks that change the direction of writing, line separators, and characters without a glyph.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]")
#: A line break of p2vit's own messages: the next line is indented.
_OWN_LINE = re.compile(r"\n(?=  |\t)")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def is_number(text: str) -> bool:
    """Return whether a text is a non-negative integer of 1 to 9 ASCII digits.

    `str.isdigit` would also accept ``²``, which `int` refuses, and thousands of digits, which `int` refuses too.

    Args:
        text: Text that the user typed.
    """
    return text.isascii() and text.isdigit() and len(text) <= 9


def portable(text: str) -> str:
    r"""Escape lone surrogates. `original` undoes it exactly.

    A byte that is not UTF-8 becomes ``\x`` and two hexadecimal digits, another lone surrogate ``\u`` and four digits.
    Backslashes are doubled only in a name that contains a surrogate or such an escape. All other names stay unchanged.

    Args:
        text: Any string.
    """
    if not _SURROGATES.search(text) and not _WRITTEN.search(text):
        return text
    return _SURROGATES.sub(lambda match: _escaped(ord(match[0])), text.replace("\\", "\\\\"))


def original(text: str) -> str:
    """Undo `portable`.

    Args:
        text: Result of `portable`.

    Returns:
        The text that `portable` got.
    """
    if not _WRITTEN.search(text):
        return text

    def read(match: re.Match[str]) -> str:
        if match[1]:
            return chr(0xDC00 + int(match[1], 16))
        return chr(int(match[2], 16)) if match[2] else "\\"

    return _READ.sub(read, text)


def shown(text: object) -> str:
    r"""Write a text on one line for a terminal, with escapes such as ``\n``, ``\x1b`` and ``\u202e``.

    The result is for people: `original` does not undo it. A second call changes nothing.

    Args:
        text: A name, a path, or any object with a `str`.
    """
    harmless = _UNSEEN.sub(lambda match: _SHORT.get(match[0]) or _code(match[0]), str(text))
    return _SURROGATES.sub(lambda match: _escaped(ord(match[0])), harmless)


def in_markdown(name: object) -> str:
    """Escape a name, as `shown` does, for Markdown text or a table cell, without HTML or cell separators.

    Args:
        name: Any object with a `str`.
    """
    return re.sub(r"[<>&|`*_\[\]]", lambda match: f"&#{ord(match[0])};", shown(name))


def in_code(name: object) -> str:
    """Escape a name, as `shown` does, for Markdown code between backticks, without backticks or cell separators.

    Args:
        name: Any object with a `str`.
    """
    return shown(name).replace("`", "'").replace("|", "\\|")


def message(text: str) -> str:
    """Escape a message, as `shown` does, but keep its own line breaks, which are those before an indented line.

    Args:
        text: Text of an error, a warning or a note.
    """
    return "\n".join(shown(part) for part in _OWN_LINE.split(text))


def lines(text: str) -> str:
    """Escape each line of a text, as `shown` does, but keep tabs.

    Args:
        text: Output of a verb. Names in it are already escaped.
    """
    return re.sub(r"[^\n\t]+", lambda part: shown(part[0]), text)


def in_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Apply a function to every string in a value, including keys.

    Args:
        value: Nested mappings, lists and tuples.
        change: Function that is applied to each string.

    Returns:
        A value of the same structure.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {in_strings(key, change): in_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if all(type(item) is int for item in value):
            return value  # logits: thousands per photo
        return type(value)(in_strings(item, change) for item in value)
    return value


def json_text(value: Any, indent: int | None = None, encoding: str = "utf-8") -> str:
    """Write strict JSON that is also safe to print on a terminal.

    Args:
        value: Value of JSON's types, without NaN and infinity.
        indent: Spaces per level, as in `json.dumps`.
        encoding: Encoding of the output. Characters that it lacks are written as JSON escapes.

    Raises:
        ValueError: The value contains a NaN or an infinity.
    """
    safe = in_strings(value, portable)
    text = json.dumps(safe, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(safe, indent=indent, ensure_ascii=True, allow_nan=False)
    # json.dumps has escaped control codes in strings, so remaining line feeds come from the indentation.
    return _UNSEEN.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def _escaped(code: int) -> str:
    """Return the escape of a lone surrogate."""
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _code(character: str) -> str:
    """Return the escape of a character."""
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
