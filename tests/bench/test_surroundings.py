"""Load by other processes, and the energy counters of the kernel, from files of their form."""

import pytest

from p2vit.bench.surroundings import PackageEnergy, busy_share


def counter(folder, name, energy, most=1000):
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "energy_uj").write_text(f"{energy}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")


def test_energy_is_that_of_all_packages_and_may_wrap(tmp_path):
    for name, energy in (("intel-rapl:0", 100), ("intel-rapl:1", 900), ("intel-rapl:0:0", 7)):
        counter(tmp_path, name, energy)
    energy = PackageEnergy(tmp_path)
    before = energy.read()
    assert before == [100, 900]  # not the cores within a package
    counter(tmp_path, "intel-rapl:0", 150)
    counter(tmp_path, "intel-rapl:1", 40)
    assert energy.joules_since(before) == pytest.approx((50 + 140) / 1e6)


def test_without_counters_there_is_no_energy(tmp_path):
    counter(tmp_path, "intel-rapl:0", "nothing")
    assert PackageEnergy(tmp_path).counters == []
    assert PackageEnergy(tmp_path / "missing").counters == []


def test_the_share_of_other_processes(tmp_path, monkeypatch):
    source = tmp_path / "stat"
    source.write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n")
    later = "cpu  130 0 110 750 110 0 0 0 0 0\n"
    monkeypatch.setattr("time.sleep", lambda seconds: source.write_text(later))
    assert busy_share(0.1, source) == pytest.approx(0.4)


@pytest.mark.parametrize("content", ["", "cpu\n", "cpu a b c d e f g h\n"])
def test_a_kernel_without_these_counters(tmp_path, content):
    source = tmp_path / "stat"
    source.write_text(content)
    assert busy_share(0, source) is None
    assert busy_share(0, tmp_path / "missing") is None
