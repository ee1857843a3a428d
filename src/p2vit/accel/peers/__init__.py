"""Organisations of published ViT accelerators, as machines of equal size."""
