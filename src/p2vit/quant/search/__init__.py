"""Mixed-precision search: the weight width of each layer within a budget, by exact optimization and evolution."""
