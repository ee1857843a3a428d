import numpy as np
import pytest

from p2vit.bench.programs import RandomProgram, meaningful_program, random_pixels
from p2vit.engine.reference import ReferenceExecutor
from p2vit.export.onnx.qdq.activation import FUNCTIONS, function_table
from p2vit.numerics import Lookup
from p2vit.program.audit import audit
from p2vit.program.format import program_sha256


@pytest.mark.parametrize("options", [{}, {"form": "log2", "weight_bits": 4, "pool": "mean"}, {"mlp": 128}])
def test_a_seed_is_a_program_that_passes_the_audit(options):
    program = RandomProgram(**options).build()
    assert program_sha256(program) == program_sha256(RandomProgram(**options).build())
    assert program_sha256(program) != program_sha256(RandomProgram(**options, seed=1).build())
    assert audit(program).passed


def test_values_use_their_width_without_all_saturating():
    program = RandomProgram(seed=2).build()
    names = [node.name for node in program.nodes]
    for name, x in ReferenceExecutor(program).run(random_pixels(program, 8), names).items():
        spec = program.tensors[name]
        if spec.bits == 8 and spec.signed:
            top = np.iinfo(x.dtype).max
            assert (np.abs(x.astype(int)) >= top).mean() < 0.7, name
            assert len(np.unique(x)) > 8, name


@pytest.mark.parametrize("function", ["gelu", "quick_gelu"])
def test_tables_are_the_functions(function):
    program = meaningful_program(RandomProgram().build(), function)
    for node in program.of_kind(Lookup):
        assert isinstance(node.operator, Lookup)
        source, spec = program.tensors[node.inputs[0]], program.tensors[node.name]
        table = function_table(FUNCTIONS[function], source, spec, node.operator.groups)
        assert np.array_equal(node.operator.table, table)


def test_an_unknown_function_is_refused():
    with pytest.raises(KeyError, match="cube"):
        meaningful_program(RandomProgram().build(), "cube")
