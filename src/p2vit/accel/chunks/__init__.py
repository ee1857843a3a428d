"""Machines of chunks that work side by side: costs, memory plan, row-stationary dataflow and timing."""
