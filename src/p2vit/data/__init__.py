"""Photos: image folders, benchmarks, photos in memory, their labels and their preprocessing."""
