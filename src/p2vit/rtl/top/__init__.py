"""The accelerator's top: load, array, vector and store engines behind a descriptor stream."""
