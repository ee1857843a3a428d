"""Where weights come from: one file per kind of source, each ending in the canonical form."""
