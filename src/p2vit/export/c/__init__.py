"""Export of an integer program as freestanding C99, without float, heap or 64-bit arithmetic.

* ``runtime/``: the operators in C, one per file; they are copied unchanged.
* ``plan``: the order of the operators, and the arena offsets of their tensors.
* ``arena``: memory allocation of the tensors.
* ``parameters``: weights and other constants as C.
* ``steps``: the calls of the operators as C.
* ``model``: the C files that depend on the program.
* ``write``: the files of the output folder.
* ``compile``: compiles an export and runs its check.
"""
