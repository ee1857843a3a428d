"""The errors that a user can act on; everything else is a defect of this package."""


class P2vitError(Exception):
    """An error that a user can act on: what, where, what is allowed, what next."""


class ProgramError(P2vitError):
    """An integer program, in memory or on disk, that is not what it should be."""
