"""Co-simulation of whole programs: the Verilated accelerator with a memory model, one call per photo."""
