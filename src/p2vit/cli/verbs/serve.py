"""``p2vit serve``: answer photos over HTTP."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, backend_option, common, program_argument, threads_option
from p2vit.cli.shared.photo_options import class_index_option, class_names_option
from p2vit.workflows.serve import run_server


def describe(report: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    url = report["url"]
    return (
        f"serving {report['program']} on {url} with back-end {report['backend']}; stop with Ctrl-C\n"
        f"next: curl -F photo=@photo.jpg {url}/classify"
    )


@click.command("serve")
@program_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", default=8000, show_default=True, type=int, help="Port to listen on; 0 for a free one."
)
@click.option("--batch", default=8, show_default=True, type=int, help="Most photos of one run.")
@click.option(
    "--deadline-ms",
    default=5.0,
    show_default=True,
    type=float,
    help="Longest time that a photo waits for others to share a run.",
)
@click.option(
    "--queue",
    default=64,
    show_default=True,
    type=int,
    help="Most photos that are held at a time; further ones get status 503.",
)
@click.option("--max-body", default=16 << 20, show_default=True, type=int, help="Most bytes of one request.")
@click.option("--max-photos", default=16, show_default=True, type=int, help="Most photos of one request.")
@click.option(
    "--max-pixels", default=25_000_000, show_default=True, type=int, help="Largest photo, width x height."
)
@click.option(
    "--read-seconds",
    default=30.0,
    show_default=True,
    type=float,
    help="Longest time for a request to arrive.",
)
@click.option(
    "--grace-seconds",
    default=30,
    show_default=True,
    type=int,
    help="Longest time for photos in the queue after the signal to stop.",
)
@click.option("--top", default=5, show_default=True, type=int, help="Number of classes listed with scores.")
@class_names_option
@class_index_option
@backend_option
@threads_option
@common
def serve(out: Output, program: Path, **options: Any) -> None:
    """Serve program OUT over HTTP: POST photos to /classify. Torch is not needed.

    The server reads no file but the program, and writes none. It stops on Ctrl-C or SIGTERM, after it has answered
    the photos in its queue.
    """
    run_server(program, out=out, ready=lambda report: out.result(report, describe), **options)
