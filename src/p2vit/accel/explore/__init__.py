"""Design-space exploration: search spaces, evaluation of points, and the search for a Pareto front."""
