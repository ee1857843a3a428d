"""ONNX: integers only (`integer`), QuantizeLinear/DequantizeLinear pairs (`qdq`), and what both share."""
