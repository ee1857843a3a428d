"""``p2vit verify``: compare every tensor of a program between back-ends."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.engine.registry import BACKENDS, CPU, open_backend
from p2vit.errors import P2vitError
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.inputs import OpenProgram, data_name, open_data, open_program
from p2vit.workflows.left_out import say_notes, say_skipped
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import VerifyOptions
from p2vit.workflows.threads import thread_count, torch_threads

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource


def run_verify(
    program: Path | OpenProgram,
    options: VerifyOptions | None = None,
    *,
    photos: "PhotoSource | None" = None,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Run photos on several back-ends and compare every tensor.

    Args:
        program: Folder of the program, or a loaded program.
        options: Options; the defaults of `VerifyOptions` if None.
        photos: Photos to use instead of ``options.data``.
        out: Receives progress.
        **changes: Fields of `VerifyOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit verify --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.evaluate.comparison import compare
    from p2vit.program.format import program_sha256

    options, out = changed(VerifyOptions, options, changes), out or Feedback()
    backends, threads = options.backends, options.threads
    data = options.data if photos is None else photos
    names = list(dict.fromkeys(name.strip() for name in backends.split(",") if name.strip()))
    if len(names) < 2:
        raise P2vitError(
            f"--backends {backends!r}: at least two different ones are needed, separated by commas, "
            "e.g. reference,torch"
        )
    opened = open_program(program)
    loaded = opened.program
    photos = open_data(data, loaded.preprocessing)
    say_notes(photos, out)
    on_gpu = [name for name in names if name in BACKENDS and BACKENDS[name].takes_device]
    if options.device != CPU and not on_gpu:
        able = ", ".join(name for name, each in BACKENDS.items() if each.takes_device)
        raise P2vitError(
            f"--device {options.device}: none of --backends {backends} runs on a GPU. Back-ends that do: {able}. "
            "Name one, or omit --device"
        )
    executors = {}
    for name in names:
        where = options.device if name in on_gpu else CPU
        resolved, executor = open_backend(name, loaded, threads, device=where)
        executors[resolved] = executor
    if len(executors) < 2:
        raise P2vitError(
            f"--backends {backends!r}: all of these are the back-end {next(iter(executors))}; name another one too"
        )
    torch_threads(thread_count(threads))
    with out.progress() as progress:
        found = compare(
            loaded,
            executors,
            (pixels for pixels, _ in photos.evaluation(options.images, options.batch)),
            total=min(options.images, len(photos)),
            progress=progress,
        )
    say_skipped(photos, out)
    return {
        **found.model_dump(),
        "data": data_name(data),
        "program": opened.title,
        "program_sha256": program_sha256(loaded),
    }
