"""Bundle of ``p2vit rtl``: a folder that simulates the accelerator on a program, without p2vit."""
