"""Blueprint of a model: its operators by name, with kinds, shapes and edges, without weights and without torch."""
