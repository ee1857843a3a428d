"""What of a folder was not used, said to whoever runs a verb that does not list it in its result."""

from typing import Any

from p2vit.workflows.feedback import Feedback


def say_notes(photos: Any, out: Feedback) -> list[str]:
    """Say what a folder holds besides the photos that are used.

    Args:
        photos: A photo source; only folders have notes.
        out: Where notes go.

    Returns:
        The notes.
    """
    notes = list(getattr(photos, "notes", []))
    for note in notes:
        out.note(note)
    return notes


def say_skipped(photos: Any, out: Feedback) -> None:
    """Name the photos that could not be read, once they have been tried.

    Args:
        photos: A photo source.
        out: Where warnings go.
    """
    for _, reason in photos.skipped:
        out.warn(f"skipped {reason}")  # reasons begin with the file's name
