from p2vit.workflows.machine import INSTRUCTION_SETS, installed, instruction_sets, processor


def test_what_the_machine_has():
    assert processor()
    assert set(instruction_sets()) <= set(INSTRUCTION_SETS.values())


def test_installed_packages():
    assert installed("numpy")
    assert installed("no-such-distribution") == ""
