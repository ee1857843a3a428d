"""Hardware of the chunk organisation: one component per chunk, and the top module."""
