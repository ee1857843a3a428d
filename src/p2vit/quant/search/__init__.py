"""Mixed precision: which layer gets how many bits under a budget, coarse (exact) to fine (evolution)."""
