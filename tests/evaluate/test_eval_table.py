import csv
from dataclasses import asdict, replace

import pytest

from p2vit.errors import P2vitError
from p2vit.evaluate.eval_table import (
    CLASS_COLUMNS,
    COLUMNS,
    append_row,
    check_table,
    class_table,
    how_quantized,
)
from p2vit.quant.config import METHODS
from support.programs import random_program

ROW = {column: f"{place}, x" for place, column in enumerate(COLUMNS)}


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_rows_are_appended_below_one_header(tmp_path):
    path = tmp_path / "deeper" / "r.csv"
    append_row(path, ROW)
    append_row(path, ROW)
    assert read(path) == [list(COLUMNS), list(ROW.values()), list(ROW.values())]


def test_a_file_with_other_columns_is_kept(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("model,accuracy\na,1\n")
    with pytest.raises(P2vitError, match=r"has accuracy; lacks bits, method.*nothing was appended"):
        append_row(path, ROW)
    assert path.read_text() == "model,accuracy\na,1\n"
    path.write_text(",".join(reversed(COLUMNS)) + "\n")
    with pytest.raises(P2vitError, match="another order"):
        check_table(path)
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(P2vitError, match="cannot be read as a CSV file"):
        check_table(path)


def test_a_cut_off_last_line_is_not_lost(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(",".join(COLUMNS) + "\nmine")
    append_row(path, ROW)
    assert read(path) == [list(COLUMNS), ["mine"], list(ROW.values())]


def test_an_empty_file_gets_its_header(tmp_path):
    (tmp_path / "r.csv").write_text("")
    append_row(tmp_path / "r.csv", ROW)
    assert read(tmp_path / "r.csv")[0] == list(COLUMNS)


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(P2vitError, match="is a folder; give the name of a file"):
        append_row(tmp_path, ROW)


def recorded(config):
    program = random_program()
    provenance = {"method": {**asdict(config), "layer_bits": dict(config.layer_bits)}}
    return replace(program, provenance=provenance)


@pytest.mark.parametrize("name", [name for name, config in METHODS.items() if config.integer])
def test_methods_are_found_again(name):
    assert how_quantized(recorded(replace(METHODS[name], weight_bits=4))) == ("w4a8", name)


def test_mixed_and_unknown_methods():
    assert how_quantized(recorded(replace(METHODS["p2vit"], layer_bits={"head": 8}))) == ("mixed", "p2vit")
    assert how_quantized(recorded(replace(METHODS["p2vit"], bias_correction=False))) == ("w8a8", "custom")
    assert how_quantized(random_program()) == ("unknown", "unknown")


def test_classes():
    row = dict.fromkeys(CLASS_COLUMNS, 1) | {"name": "tench, Tinca", "top5": None}
    header, line = class_table([row]).splitlines()
    assert header == "name,output,images,top1,top5,top1_float,agreement,sqnr_db"
    assert line == '"tench, Tinca",1,1,1,,1,1,1'
