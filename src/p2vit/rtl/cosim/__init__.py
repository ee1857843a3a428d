"""Whole programs through the RTL: the Verilated accelerator with a memory beside it, driven in one call per photo."""
