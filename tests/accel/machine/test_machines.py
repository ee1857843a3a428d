import json
import re

import pytest
from pydantic import ValidationError

from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import known_machines, load_machine, machine_schema
from p2vit.accel.problems import AccelError


@pytest.mark.parametrize("name", known_machines())
def test_shipped_descriptions_load_and_say_what_they_assume(name):
    machine = load_machine(name)
    assert machine.name == name
    assert machine.assumed


def test_unknown_name_suggests():
    with pytest.raises(AccelError, match=r"no description is called 'papr'; did you mean 'paper'\?"):
        load_machine("papr")


@pytest.fixture
def description(tmp_path):
    """Write an edited copy of a machine description."""

    def write(*edits):
        from importlib.resources import files

        text = (files("p2vit.accel.machine") / "descriptions" / "edge.yaml").read_text()
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_every_problem_at_once_with_lines(description):
    path = description(
        ("clock_mhz: 250", "clock_mhz: -1"),
        ("lanes_per_line: 32", "lanes_per_lin: 32"),
        ("banks: 8", "banks: lots"),
    )
    with pytest.raises(AccelError) as caught:
        load_machine(path)
    text = str(caught.value)
    assert "mine.yaml: 4 problems" in text
    assert "line 8: clock_mhz: Input should be greater than 0, not -1" in text
    assert "did you mean 'lanes_per_line'?" in text
    assert "chunks.mac_array.lanes_per_line: missing" in text
    assert "buffers.activation.banks" in text


def test_duplicate_keys_are_refused(description):
    path = description(("clock_mhz: 250", "clock_mhz: 250\nclock_mhz: 500"))
    with pytest.raises(AccelError, match=r"line 9: found duplicate key \"clock_mhz\"; write each key once"):
        load_machine(path)


def test_numbers_in_quotes_are_refused(description):
    with pytest.raises(AccelError, match="clock_mhz: Input should be a valid number, not '250'"):
        load_machine(description(("clock_mhz: 250", "clock_mhz: '250'")))


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00"], ids=["empty", "list", "cut off", "binary"])
def test_what_is_not_a_description(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(AccelError, match=r"mine\.yaml: 1 problem"):
        load_machine(str(path))


def test_missing_file(tmp_path):
    with pytest.raises(AccelError, match="cannot be read: No such file"):
        load_machine(str(tmp_path / "none.yaml"))


def test_unknown_memory_is_refused_when_the_file_is_read(description):
    with pytest.raises(AccelError, match=r"dram\.kind 'lpddr6' is not in the table; did you mean 'lpddr"):
        load_machine(description(("kind: lpddr4", "kind: lpddr6")))


def test_technology_beside_the_file(description, tmp_path):
    from importlib.resources import files

    table = (files("p2vit.accel.machine") / "technology_tables" / "cacti28.yaml").read_text()
    (tmp_path / "own.yaml").write_text(table.replace("name: cacti28", "name: own"))
    assert load_machine(description(("technology: cacti28", "technology: own.yaml"))).technology.endswith(
        "own.yaml"
    )


def test_schema_is_valid_json_and_forbids_unknown_keys():
    schema = json.loads(machine_schema())
    assert set(schema["discriminator"]["mapping"]) == {"chunks", "single_engine", "load_store"}
    for name in ("ChunkMachine", "SingleEngineMachine", "LoadStoreMachine"):
        assert schema["$defs"][name]["additionalProperties"] is False
        assert "clock_mhz" in schema["$defs"][name]["required"]


@pytest.mark.parametrize(
    ("hardware", "changes", "words"),
    [
        ("rtl", {"chunks.shifter_array.lines": 3}, "shifters stand beside the multipliers"),
        ("rtl", {"buffers.activation.bytes_per_port_per_cycle": 1, "buffers.activation.banks": 1},
         "less than a word of 16 bytes"),
        ("paper", {"load_store.slots": 2}, "load_store.slots: no such key"),
        ("paper", {"reconfiguration_cycles": 2}, "reconfiguration_cycles: no such key"),
        ("single_engine", {"chunks.shifter_array.lines": 3}, "no such key"),
        ("single_engine", {"pipelining.inter_layer": True}, "Input should be False"),
    ],
)  # fmt: skip
def test_a_key_that_means_nothing_is_refused(hardware, changes, words):
    with pytest.raises(AccelError, match=re.escape(words)):
        edit_machine(load_machine(hardware), changes)


def test_shifters_follow_the_multipliers_that_they_stand_beside():
    assert edit_machine(load_machine("rtl"), {"chunks.mac_array.lines": 8}).shifters.lines == 8


def test_an_unknown_organisation_is_refused(description):
    with pytest.raises(
        AccelError, match="organisation: Input should be 'chunks', 'single_engine' or 'load_store'"
    ):
        load_machine(description(("organisation: chunks", "organisation: chunk")))


@pytest.mark.parametrize("value", [{"a": 1}, [1], None, 3, "x", True, 1e400])
@pytest.mark.parametrize("hardware", ["paper", "single_engine", "rtl"])
def test_a_key_of_any_other_kind_is_refused(hardware, value):
    whole = load_machine(hardware).model_dump(mode="json")
    for key, usual in whole.items():
        refused = ""
        try:
            Machine.model_validate({**whole, key: value})
        except ValidationError as error:
            refused = str(error)
        accepted = isinstance(value, type(usual) | int) or usual is None or value is None
        assert key in refused or (not refused and accepted), key


def test_a_machine_cannot_be_changed():
    machine = load_machine("paper")
    with pytest.raises(ValidationError):
        machine.clock_mhz = 1
    assert isinstance(machine, Machine)
