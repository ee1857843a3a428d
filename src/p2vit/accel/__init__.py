"""Models of the accelerator: machine description, workload, dataflow, cycles, energy and area."""
