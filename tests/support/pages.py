"""Run a page of docs/ from top to bottom: its Python, its commands, and what it says that they print.

* Python blocks run in one namespace.
* Commands after ``<!-- run -->`` run: `p2vit` in this process, anything else (``make``) as a process.
* Commands after ``<!-- slow -->`` run only if slow commands are asked for; otherwise they are parsed, and their
  output is not compared.
* Commands after ``<!-- check -->`` are only parsed.
* A text block after ``<!-- output -->`` must appear in the output of the block before it, line by line and in this
  order; ``...`` stands for any text.
"""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from p2vit.cli.main import cli, run

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
BLOCK = re.compile(
    r"(?:^<!-- (run|check|slow|output) -->\n)?^```(python|bash|console|text)\n(.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A marked block of a page."""

    mark: str | None
    language: str
    text: str
    line: int

    @property
    def commands(self) -> list[list[str]]:
        """Words of each command; a backslash joins lines."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], found[3], text[: found.start(3)].count("\n"))
        for found in BLOCK.finditer(text)
    ]


def as_pattern(line: str) -> re.Pattern[str]:
    """A shown line as an expression; ``...`` stands for any text."""
    return re.compile(".*".join(map(re.escape, line.rstrip().split("..."))))


def check_output(shown: str, printed: str, where: str) -> None:
    """Every shown line is printed, in this order; other lines may stand between."""
    lines = iter(printed.splitlines())
    for line in filter(str.strip, shown.splitlines()):
        assert any(as_pattern(line).fullmatch(each.rstrip()) for each in lines), (
            f"{where}: not printed: {line}\nprinted was:\n{printed}"
        )


def run_command(words: list[str]) -> None:
    """Run one command of a page; it must succeed."""
    if words[0] == "p2vit":
        assert run(words[1:]) == 0, shlex.join(words)
        return
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"


def parse_command(words: list[str]) -> None:
    """A command that needs a download or much time: its words must at least be allowed."""
    if words[0] == "make":
        assert words[1] == "-C" or words[1] in TARGETS, words
        return
    if words[0].removeprefix(".venv/bin/") in ("pip", "apt-get", "git", "pytest"):
        return
    if words[0] == "torchrun":
        assert "--nproc-per-node" in words[: words.index("-m")]
        words = words[words.index("-m") + 1 :]
    assert words[0].removeprefix(".venv/bin/") == "p2vit", words
    verb = cli.get_command(None, words[1])
    assert verb is not None, words
    verb.make_context(words[1], words[2:])


def run_page(page: Path, capsys, *, slow: bool = False) -> dict:
    """Run a page in the current folder, and return the namespace of its Python."""
    namespace: dict = {"__name__": "__main__"}
    printed: str | None = None  # None: the block before was not run
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.mark == "output":
            if printed is not None:
                check_output(block.text, printed, where)
        elif block.language == "python":
            # The padding makes a traceback show the page's own line numbers.
            exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)
            printed = capsys.readouterr().out
        elif block.mark == "run" or (block.mark == "slow" and slow):
            for words in block.commands:
                run_command(words)
            printed = capsys.readouterr().out
        elif block.mark in ("check", "slow"):
            for words in block.commands:
                parse_command(words)
            printed = None
    return namespace
