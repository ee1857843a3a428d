"""The one exception that the command line turns into a message."""


class P2vitError(Exception):
    """An error that a user can act on: what, where, what is allowed, what next."""
