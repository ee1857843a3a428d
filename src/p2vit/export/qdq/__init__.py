"""The pieces of the ``onnx-qdq`` export: what a tensor means in float, and how each operator is written."""
