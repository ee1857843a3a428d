"""Chunk organisation of the accelerator: chunks that run side by side, with every tensor in memory on the chip."""
