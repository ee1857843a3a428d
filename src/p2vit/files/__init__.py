"""Write all output files: paths are checked first, files appear complete or not at all, and no user file is lost.

* ``places`` checks paths before the work starts.
* ``locks`` lets only one run write to an output.
* ``record`` remembers which files p2vit wrote into a folder.
* ``file_set`` and ``stage`` write sets of files; ``outputs`` writes single files.
* ``lines`` appends to logs and tables.

A test checks that no other module opens files for writing, except in temporary folders.
"""

from p2vit.files.cache import BoundedCache, cache_folder, made_once
from p2vit.files.file_set import FileSet
from p2vit.files.lines import LineFile
from p2vit.files.locks import lock_output, one_writer
from p2vit.files.outputs import check_output, write_files, write_text
from p2vit.files.places import kind_of, make_folder
from p2vit.files.record import RECORD, unfinished_sets
from p2vit.files.stage import Content, Stage

__all__ = [
    "RECORD",
    "BoundedCache",
    "Content",
    "FileSet",
    "LineFile",
    "Stage",
    "cache_folder",
    "check_output",
    "kind_of",
    "lock_output",
    "made_once",
    "make_folder",
    "one_writer",
    "unfinished_sets",
    "write_files",
    "write_text",
]
