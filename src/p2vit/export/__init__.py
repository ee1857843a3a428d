"""An integer program in other people's formats.

* ``run``: one call for every format; ``p2vit export`` is a thin layer over it.
* ``onnx_integer``, ``lowering/``, ``shifts``, ``values``, ``matmul``: integer ONNX operators, exactly equal.
* ``onnx_qdq``, ``qdq/``, ``activation``: float operators between QuantizeLinear/DequantizeLinear pairs.
* ``vectors``: every tensor of a few images as files.
* ``run_onnx``: the integer model in ONNX Runtime, as an executor.
* ``onnx_graph``, ``model_file``, ``metadata``, ``check``, ``optional``: what the ONNX formats share.
"""
