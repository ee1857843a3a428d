"""ONNX export: integers only (`integer`), QuantizeLinear/DequantizeLinear pairs (`qdq`), and shared code (`common`)."""
