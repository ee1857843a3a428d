"""Models of the accelerator: machine description, workload, dataflow, cycles, energy and area.

Rooms: `machine`, `workload`, `chunks`, `load_store`, `energy` and `explore`. The modules beside them use the rooms:
they map and simulate a model, explain a run, and compare machines.
"""
