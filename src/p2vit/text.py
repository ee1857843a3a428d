"""Names as people bring them, written so that any terminal, JSON reader, page or table takes them.

A file's name is bytes. What is not text in it reaches Python as lone surrogates (``surrogateescape``), which no
encoding writes; and a name may hold codes that move a terminal's cursor or turn the direction of writing. `portable`
is for machines and can be undone with `original`; `shown` is for people. In memory names are as they came: only what
writes a file or a line escapes them, and only what reads such a file undoes it.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]")
#: What `portable` writes for a surrogate; a name that holds such text itself has its backslashes doubled.
_WRITTEN = re.compile(r"\\(?:x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
_READ = re.compile(r"\\(?:\\|x([89a-f][0-9a-f])|u(d[89a-f][0-9a-f]{2}))")
#: Control codes, marks that turn the direction of writing, line separators, and what has no glyph.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]")
#: A new line that our own messages make: before an indented line.
_OWN_LINE = re.compile(r"\n(?=  |\t)")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def is_number(text: str) -> bool:
    """Whether a word is a whole number in ASCII digits, of at most 9 of them: what `int` takes and machines can count.

    `str.isdigit` is true of ``²``, which `int` refuses, and `int` refuses thousands of digits.

    Args:
        text: What the user typed.
    """
    return text.isascii() and text.isdigit() and len(text) <= 9


def portable(text: str) -> str:
    r"""Text without lone surrogates, from which `original` gives the same text back.

    A byte that is no UTF-8 is written as ``\x`` and two hexadecimal digits, another lone surrogate as ``\u`` and
    four. Backslashes are doubled in a name that has one of them, or looks as if it had; all other names stay as
    they are.

    Args:
        text: Any string.
    """
    if not _SURROGATES.search(text) and not _WRITTEN.search(text):
        return text
    return _SURROGATES.sub(lambda match: _escaped(ord(match[0])), text.replace("\\", "\\\\"))


def original(text: str) -> str:
    """The text that `portable` was given.

    Args:
        text: What it returned.
    """
    if not _WRITTEN.search(text):
        return text

    def read(match: re.Match[str]) -> str:
        if match[1]:
            return chr(0xDC00 + int(match[1], 16))
        return chr(int(match[2], 16)) if match[2] else "\\"

    return _READ.sub(read, text)


def shown(text: object) -> str:
    r"""Text on one line that does nothing to a terminal: ``\n``, ``\x1b``, ``\u202e`` stand for what they name.

    For people, not for machines: `original` does not undo it. What has been shown once stays as it is.

    Args:
        text: A name, a path, or anything that has a `str`.
    """
    harmless = _UNSEEN.sub(lambda match: _SHORT.get(match[0]) or _code(match[0]), str(text))
    return _SURROGATES.sub(lambda match: _escaped(ord(match[0])), harmless)


def in_markdown(name: object) -> str:
    """A name as `shown`, in running text or a table's cell of Markdown: it holds no HTML and ends no cell.

    Args:
        name: Anything that has a `str`.
    """
    return re.sub(r"[<>&|`*_\[\]]", lambda match: f"&#{ord(match[0])};", shown(name))


def in_code(name: object) -> str:
    """A name as `shown`, between backticks in Markdown, where only a backtick and a table's bar mean something.

    Args:
        name: Anything that has a `str`.
    """
    return shown(name).replace("`", "'").replace("|", "\\|")


def message(text: str) -> str:
    """A message as `shown`, with the lines that it has itself: those that are indented.

    Args:
        text: Of an error, a warning or a note.
    """
    return "\n".join(shown(part) for part in _OWN_LINE.split(text))


def lines(text: str) -> str:
    """A text of several lines, each as `shown`; tabs stay.

    Args:
        text: What a verb prints; names in it have been `shown` before.
    """
    return re.sub(r"[^\n\t]+", lambda part: shown(part[0]), text)


def in_strings(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with every string in it changed, keys too.

    Args:
        value: Mappings, lists and tuples of anything.
        change: Called with each string.
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
    """JSON that every reader takes and that does nothing to a terminal.

    Args:
        value: Of JSON's own types; NaN and infinities are refused.
        indent: As `json.dumps` has it.
        encoding: What cannot be written in it is escaped as JSON does.

    Raises:
        ValueError: a NaN or an infinity.
    """
    safe = in_strings(value, portable)
    text = json.dumps(safe, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(safe, indent=indent, ensure_ascii=True, allow_nan=False)
    # Below 32 only the line ends between JSON's parts are left.
    return _UNSEEN.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def _escaped(code: int) -> str:
    """A lone surrogate in `portable`."""
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _code(character: str) -> str:
    """A character by its number."""
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
