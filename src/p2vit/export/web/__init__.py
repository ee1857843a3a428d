"""Export of an integer program for browsers: the C export as WebAssembly, in a package and in a page.

* ``assets/``: JavaScript, types and the page; ``module.c`` has the functions of the WebAssembly module.
* ``compile``: compiles the C to WebAssembly, with and without SIMD.
* ``check``: runs the modules here.
* ``write``: the files of the output folder.
"""
