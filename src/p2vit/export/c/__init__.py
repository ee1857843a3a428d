"""An integer program as freestanding C99: no float, no heap, no 64-bit arithmetic, one operator per file.

* ``runtime/``: the operators in C, copied as they are.
* ``plan``: which operator runs when, and where its tensors lie in the arena.
* ``arena``: places for tensors that live at the same time.
* ``parameters``: weights and other constants as C.
* ``model``: the program's own C files.
* ``write``: the folder.
"""
