"""A folder with everything to simulate the accelerator on a program without p2vit: ``p2vit rtl``."""
