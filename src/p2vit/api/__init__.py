"""What people import: ``import p2vit`` gives these names, each loaded at its first use."""
