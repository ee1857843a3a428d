import pytest

from p2vit.accel.machine.technology import known_technologies, load_technology
from p2vit.accel.problems import AccelError


@pytest.mark.parametrize("name", known_technologies())
def test_tables_load_and_name_their_sources(name):
    table = load_technology(name)
    assert table.name == name
    assert len(table.sources) >= 4


def test_horowitz_figures():
    energy = load_technology("horowitz45").energy
    assert (energy.add32_pj, energy.multiply8_pj, energy.multiply32_pj, energy.float32_multiply_pj) == (
        0.1,
        0.2,
        3.1,
        3.7,
    )


def test_scaled_table_is_stillmaker_baas_times_horowitz():
    old, new = load_technology("horowitz45").energy, load_technology("cacti28").energy
    for name in ("add32_pj", "multiply8_pj", "multiply16_pj", "multiply32_pj", "float32_multiply_pj"):
        assert getattr(new, name) == pytest.approx(0.51 * getattr(old, name), rel=0.01)


def test_sram_between_and_at_the_points_of_the_table():
    table = load_technology("cacti28")
    read, write, area = table.sram_point(65536)
    assert (read, write, area) == pytest.approx((23.18 / 32, 27.61 / 32, 0.0864))
    sizes = [2048, 8192, 20000, 65536, 100000, 524288, 2**21]
    for figure in range(3):
        figures = [table.sram_point(size)[figure] for size in sizes]
        assert figures == sorted(figures)


def test_unknown_table_and_unknown_memory():
    with pytest.raises(AccelError, match="no table is called 'cacti22'; did you mean 'cacti28'"):
        load_technology("cacti22")
    with pytest.raises(AccelError, match=r"dram\.kind 'hbm' is not in the table"):
        load_technology("cacti28").dram_energy("hbm")
