"""What both ONNX forms share: the graph writer, checks, files, metadata."""
