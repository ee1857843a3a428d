"""Sources of weights: one file per kind of source. Each converts its weights to the canonical form."""
