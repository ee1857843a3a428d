"""Workloads: every operation of a model, with shapes and bit widths, from its name or from a program."""
