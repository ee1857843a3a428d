"""Energy and area of a machine and of a run, from a technology table."""
