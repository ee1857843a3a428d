"""The work of the verbs, for the command line and for Python alike."""
