"""The accelerator, modelled: machine description, workload, dataflow, cycles, energy, area."""
