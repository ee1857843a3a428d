"""Compiler from an integer program to a descriptor stream, a memory image and the layout of every tensor."""
