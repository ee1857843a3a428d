"""The integer program: a typed graph of integer operators, its file format and its audit."""
