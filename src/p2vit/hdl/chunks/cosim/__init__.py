"""Co-simulation of the chunk organisation: every result of every chunk, and the cycle that it is written in."""
