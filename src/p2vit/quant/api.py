"""The one call: a float model and photos in, an integer program and its report out."""
