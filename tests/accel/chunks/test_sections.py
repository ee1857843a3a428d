from p2vit.accel.chunks.sections import split_sections
from p2vit.accel.workload.resolve import workload_of


def test_sections_are_embedding_blocks_and_head():
    sections = split_sections(workload_of("deit_tiny_patch16_224").operations)
    assert [section[0].name for section in sections[:3]] == ["patches", "blocks.0.norm1", "blocks.1.norm1"]
    assert len(sections) == 14
    assert [op.name for op in sections[-1]] == ["pool", "norm", "feature", "head"]
