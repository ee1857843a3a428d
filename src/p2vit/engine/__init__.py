"""Executors of an integer program: each returns the same integers."""
