"""Everything that p2vit writes for people goes through here: checked first, whole or not at all, and nothing lost.

``places`` looks at paths before time is spent, ``locks`` keeps two runs apart, ``record`` remembers what was written
into a folder, ``outputs`` writes sets of files, ``lines`` appends to logs. A test sees that no other module opens
files for writing, except in temporary folders.
"""

from p2vit.files.cache import made_once
from p2vit.files.lines import LineFile
from p2vit.files.locks import hold, one_writer
from p2vit.files.outputs import Content, FileSet, Stage, check_output, write_files, write_text
from p2vit.files.places import kind_of, make_folder
from p2vit.files.record import RECORD, unfinished_sets

__all__ = [
    "RECORD",
    "Content",
    "FileSet",
    "LineFile",
    "Stage",
    "check_output",
    "hold",
    "kind_of",
    "made_once",
    "make_folder",
    "one_writer",
    "unfinished_sets",
    "write_files",
    "write_text",
]
