"""Compiler from an integer program to the descriptors and the weight stream of the chunk organisation."""
