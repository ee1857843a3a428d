"""Report files of a folder that were not used, for verbs whose result does not list them."""

from typing import Any

from p2vit.workflows.feedback import Feedback


def say_notes(photos: Any, out: Feedback) -> list[str]:
    """Report the files of a folder that are not used as photos.

    Args:
        photos: Photo source. Only folders have notes.
        out: Receives notes.

    Returns:
        The notes.
    """
    notes = list(getattr(photos, "notes", []))
    for note in notes:
        out.note(note)
    return notes


def say_skipped(photos: Any, out: Feedback) -> None:
    """Report the photos that could not be read. Call this after they were read.

    Args:
        photos: Photo source.
        out: Receives warnings.
    """
    for _, reason in photos.skipped:
        out.warn(f"skipped {reason}")  # a reason begins with the name of the file
