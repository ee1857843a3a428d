"""A run of one; real processes are in tests/cli/test_processes.py."""

from p2vit.evaluate.world import World, join_world


def test_one_process_needs_no_torch(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    world = join_world()
    assert type(world) is World
    assert (world.rank, world.size, world.gather("x")) == (0, 1, ["x"])
    assert [world.advance(stage, 2) for stage in ("a", "a", "b")] == [2, 4, 2]
