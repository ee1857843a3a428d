"""Shared code of both ONNX exports: graph writer, checks, files and metadata."""
