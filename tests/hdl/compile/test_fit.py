from dataclasses import replace

import pytest

pytest.importorskip("amaranth")

from p2vit.accel.load_store.fit import misfits_of
from p2vit.accel.workload.program import program_workload
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.compile.errors import UnfitProgramError
from p2vit.hdl.description import description_of
from support.rtl_programs import ODD, program

SIZES = [
    {},
    *({"row_rows": rows} for rows in (1, 4, 7, 8)),
    *({"weight_rows": rows} for rows in (5, 7, 8)),
    *({"vector_columns": columns} for columns in (8, 9, 12, 20, 21, 25, 40, 47, 48, 49)),
]


@pytest.mark.parametrize("change", SIZES, ids=str)
def test_the_compiler_and_the_simulator_refuse_the_same_machines(change):
    machine = replace(ODD, **change)
    described, whole = description_of(machine, "x"), program("linear")
    misfits = misfits_of(described, described.load_store, program_workload("p", whole).operations)
    if not misfits:
        compile_program(whole, machine)
        return
    with pytest.raises(UnfitProgramError) as refused:
        compile_program(whole, machine)
    assert str(refused.value).partition(":")[0] in {misfit.operation for misfit in misfits}


def test_what_the_message_asks_for_is_enough():
    """Follow the levers one by one until the program fits."""
    machine, levers = replace(ODD, row_rows=1, weight_rows=1, vector_columns=8), []
    for _ in range(8):
        try:
            compile_program(program("linear"), machine)
            break
        except UnfitProgramError as error:
            size, _, least = str(error).rpartition("raise ")[2].removesuffix(" or more").partition(" to ")
            levers.append(size)
            machine = replace(machine, **{size: int(least)})
    assert {"row_rows", "weight_rows", "vector_columns"} == set(levers)
    described = description_of(machine, "x")
    assert not misfits_of(
        described, described.load_store, program_workload("p", program("linear")).operations
    )
