"""An integer program in other people's formats.

* ``run``: one function for every format; ``p2vit export`` calls it.
* ``onnx/integer``: integer ONNX operators, exactly equal to the reference; one file per operator.
* ``onnx/qdq``: float operators between QuantizeLinear/DequantizeLinear pairs; the same file names.
* ``onnx/common``: graph writer, files, metadata and checks of both.
* ``onnx/executor``: an executor that runs the integer model in ONNX Runtime.
* ``vectors``: files with every tensor of a few images.
"""
