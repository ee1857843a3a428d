"""The command line as a function that asks for JSON."""

import pytest


@pytest.fixture
def p2vit_command(p2vit):
    """Run a verb with ``--json --quiet``."""
    return lambda *words: p2vit(*words, "--json", "--quiet")
