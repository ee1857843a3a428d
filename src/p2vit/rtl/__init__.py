"""The accelerator, built: one hardware module per operator, generated from the same parameter objects."""
