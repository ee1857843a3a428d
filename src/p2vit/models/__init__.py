"""Float Vision Transformers: where they come from and the one canonical form they are brought to."""
