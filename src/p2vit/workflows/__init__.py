"""The work behind every verb, shared by the command line and the Python interface."""
