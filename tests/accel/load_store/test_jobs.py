from p2vit.accel.load_store.jobs import EngineJob, Load, Region


def job(writes, *reads):
    loads = (Load(3, "weights"), Load(10, "rows", reads))
    return EngineJob(2, "array", loads, 30, (("port", 4), ("lanes", 5)), 7, ("rows",), ("rows",), 8, writes)


def test_a_job_takes_its_work_its_waits_and_its_overhead():
    assert job(None).cycles == 30 + 4 + 5 + 7


def test_a_region_counts_its_columns():
    assert Region(0, 0, 0, 16, 40).columns == 24


def test_the_region_of_a_job_is_what_it_writes_or_else_what_it_reads_last():
    written, read = Region(2, 0, 1, 0, 8), Region(1, 0, 1, 0, 16)
    assert job(written, read).region == written
    assert job(None, read).region == read
