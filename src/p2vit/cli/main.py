"""The command ``p2vit``: finds verbs without importing them, and turns every error into one clear message."""

import importlib
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from p2vit.cli.shared.machine_limits import machine_limit
from p2vit.cli.shared.terminal import open_standard_streams, say, show_json
from p2vit.errors import P2vitError, did_you_mean
from p2vit.version import __version__

#: Verb → (module, the click command in it, what it does). A verb whose module is not there is not shown.
VERBS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "The main job on real weights and photos, start to end."),
    "quantize": ("quantize", "quantize", "Float ViT + a few photos -> integer program."),
    "eval": ("evaluate", "evaluate", "Accuracy of a program and of its float model."),
    "audit": ("audit", "audit", "Prove: no floats, powers of two only, int32 is enough."),
    "inspect": ("inspect", "inspect", "What is in a program: layers, widths, exponents, sizes."),
    "verify": ("verify", "verify", "Compare every tensor between back-ends."),
    "run": ("run", "run", "Labels and logits of photos."),
    "report": ("report", "report", "One offline HTML file about a program."),
    "ablate": ("ablate", "ablate", "Table of all methods, and of ours without each piece."),
    "reproduce": ("reproduce", "reproduce", "Published ImageNet figures, and this machine's."),
    "search": ("search", "search", "Mixed precision under a budget."),
    "export": ("export", "export", "Write a program as ONNX, as C or as test vectors."),
    "bench": ("bench", "bench", "Speed beside other runtimes."),
    "simulate": ("simulate", "simulate", "Cycles and energy on an accelerator."),
    "compare": ("compare", "compare", "Modelled accelerators beside published systems."),
    "explore": ("explore", "explore", "Search accelerators for a model."),
    "rtl": ("rtl", "rtl", "Generate the accelerator's RTL."),
    "cosim": ("cosim", "cosim", "Run the RTL against a program."),
    "synth": ("synth", "synth", "Cells, area and delay of the hardware modules."),
    "list": ("listing", "listing", "Models, photo sets, methods and back-ends."),
    "doctor": ("doctor", "doctor", "What this machine has, and what to install."),
}

DEFECT, INTERRUPTED = 3, 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs whose modules are there, in the order of `VERBS`."""
        return [verb for verb in VERBS if importlib.util.find_spec(f"p2vit.cli.verbs.{VERBS[verb][0]}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, attribute, _ = VERBS[cmd_name]
        return getattr(importlib.import_module(f"p2vit.cli.verbs.{module}"), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which there are."""
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
    """Vision Transformers on integers alone: quantize, run, export, cost and build.

    Every verb takes --json (exactly one object on stdout; the rest goes to stderr) and --help.
    Exit status: 0 success, 1 a check does not hold, 2 bad usage or input, 3 a defect of this program, 130 stopped.
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit status: 0 success, 1 a check does not hold, 2 bad usage or input, 3 a defect, 130 stopped by Ctrl-C.
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
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; nothing is wrong
        return 0
    except P2vitError as error:
        return _fail(error, str(error), debug, as_json)
    except Exception as error:
        if (limit := machine_limit(error, _options(words))) is not None:
            return _fail(error, limit, debug, as_json)
        return _defect(error, debug, as_json)


def _options(words: Sequence[str]) -> list[str]:
    """Long names of the options of the verb that was called."""
    verb = next((word for word in words if word in VERBS), None)
    command = cli.get_command(click.Context(cli), verb) if verb else None
    if command is None:
        return []
    return [max(option.opts, key=len) for option in command.params if isinstance(option, click.Option)]


def _fail(error: BaseException, message: str, debug: bool, as_json: bool, code: int = 2) -> int:
    """Print an error for people, and for scripts where they asked for JSON."""
    if debug:
        traceback.print_exception(error)
    say(f"error: {message}")
    if as_json:
        show_json({"error": message})
    return code


def _defect(error: BaseException, debug: bool, as_json: bool) -> int:
    """Print what no user has caused."""
    first = (str(error).strip().splitlines() or [""])[0]
    hint = "" if debug else "; --debug shows where"
    message = (
        f"this is a defect of p2vit {__version__}, please report it ({type(error).__name__}: {first}){hint}"
    )
    return _fail(error, message, debug, as_json, DEFECT)


def main() -> None:
    """Entry point."""
    open_standard_streams()
    # What Pillow warns of, p2vit says in its own words or reads all the same.
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
