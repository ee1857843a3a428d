from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.compile.errors import UnfitProgramError
from p2vit.hdl.top.descriptor import Kind
from p2vit.numerics.operator import Operator
from p2vit.program.graph import IntegerProgram, Node
from support.rtl_programs import ODD, compiled, program


def test_the_same_inputs_give_the_same_stream_and_image():
    one, two = compiled("linear", ODD), compile_program(program("linear"), ODD)
    assert one.stream == two.stream
    assert (one.image == two.image).all()


def test_a_load_waits_for_stores_before_it_in_the_stream():
    stores = 0
    for descriptor in compiled("linear", ODD).descriptors:
        assert descriptor["after"] <= stores
        stores += descriptor.kind == Kind.STORE


def test_tensors_do_not_overlap():
    done = compiled("odd sizes", ODD)
    spans = sorted((layout.base, layout.base + layout.words) for layout in done.layouts.values())
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert spans[-1][1] <= len(done.image) - done.constant_words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"row_rows": 4},
            r"rows have 48 terms; a line holds row_rows × lanes = 24; raise row_rows to 8 or more",
        ),
        ({"weight_rows": 5}, r"take 8 rows of the weight buffer; it has 5; raise weight_rows to 8 or more"),
        (
            {"vector_columns": 40},
            r"normalises 48 channels; vector_columns is 40; raise vector_columns to 48 or more",
        ),
        ({"vector_columns": 9}, r"patches: one row of a patch has 12 bytes; vector_columns is 9"),
    ],
)
def test_a_machine_too_small_is_refused_with_the_lever(change, message):
    with pytest.raises(UnfitProgramError, match=message):
        compile_program(program("linear"), replace(ODD, **change))


def test_log2_codes_need_shifters():
    with pytest.raises(
        UnfitProgramError, match="codes are log2, and the machine has no shifters; set shifters"
    ):
        compile_program(program("log2"), replace(ODD, shifters=False))


def changed(name: str, **fields: object) -> IntegerProgram:
    """Return the program with some fields of one operator replaced."""
    whole = program("linear")
    nodes = tuple(
        Node(n.name, replace(n.operator, **fields), n.inputs) if n.name == name else n for n in whole.nodes
    )
    return replace(whole, nodes=nodes)


def test_a_shift_too_far_left_is_refused():
    shift = np.full(48, -9, np.int8)
    with pytest.raises(
        UnfitProgramError, match=r"attn\.q: it shifts left by 9 bits; the re-quantizer does at most 7"
    ):
        compile_program(changed("blocks.0.attn.q", shift=shift), ODD)
    with pytest.raises(UnfitProgramError, match=r"attn\.v: it shifts left by 9 bits"):
        compile_program(changed("blocks.0.attn.v", shift=shift), ODD)
    with pytest.raises(UnfitProgramError, match=r"softmax: a head shifts distances left by 20 bits"):
        compile_program(changed("blocks.0.attn.softmax", shift=np.array([0, -20, 0], np.int8)), ODD)


def test_a_graph_without_a_form_is_refused():
    whole = program("linear")
    nodes = list(whole.nodes)
    at = next(i for i, n in enumerate(nodes) if n.name == "blocks.0.attn.values")
    # Keys used as values too: they would have to be written both ways.
    nodes[at] = Node(nodes[at].name, nodes[at].operator, (nodes[at].inputs[0], "blocks.0.attn.k"))
    with pytest.raises(
        UnfitProgramError, match=r"attn\.k, which is not a linear layer's output that it alone reads"
    ):
        compile_program(replace(whole, nodes=tuple(nodes)), ODD)


def test_windows_are_refused():
    with pytest.raises(
        UnfitProgramError,
        match=r"attn\.scores: no engine of the accelerator executes attention within 7 windows, as in Swin",
    ):
        compile_program(changed("blocks.0.attn.scores", windows=7), ODD)


def test_two_widths_of_layernorm_are_refused():
    whole = program("linear")
    norm = next(n for n in whole.nodes if n.name == "norm")
    other = replace(
        norm.operator,
        channels=5,
        input_shift=np.zeros(5, np.int8),
        shift=np.full(5, 20, np.int8),
    )
    nodes = tuple(Node(n.name, other, n.inputs) if n.name == "norm" else n for n in whole.nodes)
    with pytest.raises(UnfitProgramError, match="all LayerNorms must be equally wide"):
        compile_program(replace(whole, nodes=nodes), ODD)


def test_an_operator_of_no_engine_is_refused():
    whole = program("linear")

    class Nothing(Operator):
        def compute(self, *inputs):
            return inputs[0]

        def output_shape(self, *shapes):
            return shapes[0]

        def output_format(self):
            return 8, True

        def bounds(self, *ranges):
            raise NotImplementedError

    nodes = tuple(
        Node(n.name, Nothing(), n.inputs) if n.name == "blocks.0.mlp.gelu" else n for n in whole.nodes
    )
    with pytest.raises(UnfitProgramError, match=r"gelu: no engine of the accelerator executes Nothing"):
        compile_program(replace(whole, nodes=nodes), ODD)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("DINOv3", r"blocks\.0\.attn\.q\.rotary: no engine of the accelerator executes Rotary"),
        ("gated by GELU", r"blocks\.0\.mlp\.gated: no engine of the accelerator executes Multiply"),
    ],
)
def test_operators_that_only_have_a_module_are_refused_by_name(family, message):
    pytest.importorskip("torch")
    from support.families import family_program

    with pytest.raises(UnfitProgramError, match=message):
        compile_program(family_program(family), ODD)
