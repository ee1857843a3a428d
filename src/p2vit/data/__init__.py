"""Photos: image folders, named benchmarks, and the preprocessing that a program records."""
