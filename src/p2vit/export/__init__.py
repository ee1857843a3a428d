"""An integer program in other people's formats.

* ``run``: one call for every format; ``p2vit export`` is a thin layer over it.
* ``onnx/integer``: integer ONNX operators, exactly equal to the reference; one file per operator.
* ``onnx/qdq``: float operators between QuantizeLinear/DequantizeLinear pairs; the same file names.
* ``onnx/common``: the graph writer, files, metadata and checks that both share.
* ``onnx/executor``: the integer model in ONNX Runtime, as an executor.
* ``vectors``: every tensor of a few images as files.
"""
