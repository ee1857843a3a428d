"""The HTTP server: photos in, labels and the program's integers out."""
