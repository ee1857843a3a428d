import pytest

from p2vit.accel.machine.description import ChunkMachine, SingleEngineMachine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.peers.description import load_peers
from p2vit.accel.problems import AccelError
from p2vit.accel.published import load_published

PEERS = {peer.name: peer for peer in load_peers()}
MACHINES = ("fpga", "paper", "server", "edge")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_has_the_size_of_its_machine(name, machine):
    beside = load_machine(machine)
    made = PEERS[name].beside(beside)
    ours, theirs = (each.chunks.mac_array.macs_per_cycle for each in (beside, made))
    assert theirs <= ours
    assert theirs > ours - (PEERS[name].lines or 1)
    assert (made.clock_mhz, made.dram, made.buffers) == (beside.clock_mhz, beside.dram, beside.buffers)
    kind = SingleEngineMachine if PEERS[name].organisation == "single_engine" else ChunkMachine
    assert type(made) is kind


def test_every_peer_says_what_is_known_and_what_is_assumed():
    assert set(PEERS) == {
        "auto-vit-acc-fixed", "auto-vit-acc-pot", "heatvit", "vitcod", "i-vit", "ita", "hg-pipe"
    }  # fmt: skip
    for peer in PEERS.values():
        made = peer.beside(load_machine("fpga"))
        assert (made.name, made.known, made.assumed) == (peer.name, peer.known, peer.assumed)


def test_published_figures_are_found_by_the_systems_name():
    systems = {row.system for row in load_published().gops_per_dsp}
    assert {peer.published_as for peer in PEERS.values() if peer.published_as} <= systems


def test_a_change_that_does_not_exist_is_refused():
    peer = PEERS["ita"].model_copy(update={"changes": {"chunks.mac_array.line": 3}})
    with pytest.raises(AccelError, match=r"chunks\.mac_array\.line: no such key; did you mean"):
        peer.beside(load_machine("fpga"))
