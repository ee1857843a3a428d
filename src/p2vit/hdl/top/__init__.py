"""Top level of the accelerator: load, array, vector and store engines, controlled by a descriptor stream."""
