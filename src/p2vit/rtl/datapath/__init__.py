"""Combinational arithmetic of the operators, shared by their modules and by the engines of the whole accelerator.

A module puts registers between the pieces so that one step takes one cycle; the accelerator's lanes put other pieces
between the same registers. What an operator rounds, and where it saturates, is said here once.
"""
