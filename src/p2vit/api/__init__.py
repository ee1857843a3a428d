"""The public Python interface: the names that ``import p2vit`` offers, each loaded at its first use."""
