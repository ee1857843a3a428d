"""The command ``p2vit``. It imports a verb only when the verb is called, and prints every error as one message."""

import importlib
import importlib.util
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from p2vit.cli.shared.machine_limits import machine_limit
from p2vit.cli.shared.terminal import open_standard_streams, say, show_json
from p2vit.errors import P2vitError, did_you_mean
from p2vit.version import __version__

#: Verb → (module, click command in that module, one line of help). A verb without its module is not shown.
VERBS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Quantize, evaluate, audit and report a real model, in one command."),
    "quantize": ("quantize", "quantize", "Quantize a Vision Transformer to an integer program."),
    "eval": ("evaluate", "evaluate", "Measure the accuracy of a program and of its float model."),
    "audit": ("audit", "audit", "Prove: integers only, power-of-two scales, no int32 overflow."),
    "inspect": ("inspect", "inspect", "Show a program's layers, widths, exponents and sizes."),
    "verify": ("verify", "verify", "Compare every tensor of a program between back-ends."),
    "run": ("run", "run", "Classify photos: print labels and logits."),
    "serve": ("serve", "serve", "Answer photos over HTTP with labels, scores and logits."),
    "report": ("report", "report", "Write a self-contained HTML report about a program."),
    "ablate": ("ablate", "ablate", "Compare quantization methods, and this one without each part."),
    "reproduce": ("reproduce", "reproduce", "Measure published ImageNet figures on this machine."),
    "search": ("search", "search", "Choose the weight width of each layer within a budget."),
    "export": ("export", "export", "Export a program as ONNX, C or test vectors."),
    "bench": ("bench", "bench", "Compare the speed with other runtimes."),
    "simulate": ("simulate", "simulate", "Model the cycles and energy of a model on an accelerator."),
    "compare": ("compare", "compare", "Compare modelled accelerators with published systems."),
    "explore": ("explore", "explore", "Search for accelerator designs that suit a model."),
    "rtl": ("rtl", "rtl", "Generate the Verilog of an accelerator."),
    "cosim": ("cosim", "cosim", "Simulate the Verilog and compare it with the program."),
    "synth": ("synth", "synth", "Synthesize the hardware modules: cells, area and delay."),
    "list": ("listing", "listing", "List models, photo sets, methods and back-ends."),
    "doctor": ("doctor", "doctor", "Check this installation and what it lacks."),
}

DEFECT, INTERRUPTED = 3, 130


class ReaderGoneError(Exception):
    """Whoever read standard output has gone, such as ``head``; nothing is wrong."""


class LazyGroup(click.Group):
    """A click group that imports a command only when it is called."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; click itself would end with 1 on a closed pipe, which says that a check does not hold."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGoneError from None

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line; --help prints while it is parsed."""
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError:
            raise ReaderGoneError from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs whose modules exist, in the order of `VERBS`."""
        return [verb for verb in VERBS if importlib.util.find_spec(f"p2vit.cli.verbs.{VERBS[verb][0]}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb and return its command, or None if there is no such verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, attribute, _ = VERBS[cmd_name]
        return getattr(importlib.import_module(f"p2vit.cli.verbs.{module}"), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or raise an error that lists the verbs."""
        verbs = self.list_commands(ctx)
        if args and args[0] not in verbs and not args[0].startswith("-"):
            raise click.UsageError(
                f"no verb '{args[0]}'.{did_you_mean(args[0], verbs)} Verbs: {', '.join(verbs)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, VERBS[verb][2]) for verb in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="p2vit")
@click.option(
    "--debug", is_flag=True, help="Show the traceback of an error; works before and after the verb."
)
def cli(debug: bool) -> None:
    """Integer-only Vision Transformers: quantize, run, export, model hardware, generate hardware.

    'p2vit VERB --help' shows the options of a verb. With --json a verb prints exactly one JSON object on stdout and
    everything else on stderr.

    Exit status: 0 success, 1 a check failed, 2 bad usage or input, 3 a defect of p2vit, 130 stopped by Ctrl-C.
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: Words of the command line after ``p2vit``.

    Returns:
        The exit status: 0 success, 1 a check failed, 2 bad usage or input, 3 a defect, 130 stopped by Ctrl-C.
    """
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    as_json = "--json" in words
    try:
        code = cli.main(words, prog_name="p2vit", standalone_mode=False, obj=words)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        where = (
            f"\n  See: {error.ctx.command_path} --help"
            if isinstance(error, click.UsageError) and error.ctx
            else ""
        )
        return _fail(error, error.format_message() + where, debug, as_json)
    except (click.Abort, KeyboardInterrupt):
        say("stopped")
        if as_json:
            show_json({"error": "stopped"})
        return INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    except ReaderGoneError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still held back goes nowhere
        return 0
    except P2vitError as error:
        return _fail(error, str(error), debug, as_json)
    except Exception as error:
        if (limit := machine_limit(error, _options(words))) is not None:
            return _fail(error, limit, debug, as_json)
        return _defect(error, debug, as_json)


def _options(words: Sequence[str]) -> list[str]:
    """Return the long names of the options of the called verb."""
    verb = next((word for word in words if word in VERBS), None)
    command = cli.get_command(click.Context(cli), verb) if verb else None
    if command is None:
        return []
    return [max(option.opts, key=len) for option in command.params if isinstance(option, click.Option)]


def _fail(error: BaseException, message: str, debug: bool, as_json: bool, code: int = 2) -> int:
    """Print an error on stderr, and with ``--json`` also as a JSON object; return the exit status."""
    if debug:
        traceback.print_exception(error)
    say(f"error: {message}")
    if as_json:
        show_json({"error": message})
    return code


def _defect(error: BaseException, debug: bool, as_json: bool) -> int:
    """Print an error that the user did not cause; return the exit status."""
    first = (str(error).strip().splitlines() or [""])[0]
    hint = "" if debug else "; --debug shows where"
    message = (
        f"this is a defect of p2vit {__version__}, please report it ({type(error).__name__}: {first}){hint}"
    )
    return _fail(error, message, debug, as_json, DEFECT)


def main() -> None:
    """Entry point."""
    open_standard_streams()
    # p2vit reports what Pillow warns about itself, or can read the photo all the same.
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
