"""Load–store machines: load, array, vector and store engines, tensors in external memory between operations."""
