"""Hardware of the accelerator: operator modules, the whole accelerator, its compiler, co-simulation and synthesis."""
