"""The harness must detect protocol faults. These designs have one fault each, on purpose."""

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl import simulate
from p2vit.hdl.catalog import example
from p2vit.hdl.modules.requantize import Requantizer
from p2vit.hdl.simulate import ModuleSimulation, stream_ports
from p2vit.hdl.stream import sink, source
from p2vit.hdl.tools.missing import RtlError
from support.rtl_checking import check, mismatches


class Faulty(wiring.Component):
    """Passes numbers through, with one fault in the handshake."""

    def __init__(self, fault):
        self.fault = fault
        super().__init__({"i": sink(x=unsigned(8)), "o": source(x=unsigned(8))})

    def elaborate(self, platform):
        m = Module()
        held, full, count = Signal(8), Signal(), Signal(8)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [
            self.o.valid.eq(full),
            self.o.payload.x.eq(held),
            self.i.ready.eq(~full | (self.o.valid & self.o.ready)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), held.eq(self.i.payload.x)]
        if self.fault == "changes":
            m.d.comb += self.o.payload.x.eq(held + count[0])
        elif self.fault == "drops valid":
            m.d.comb += self.o.valid.eq(full & count[1])
        elif self.fault == "gives too many":
            m.d.comb += self.o.valid.eq(1)
        elif self.fault == "never ready":
            m.d.comb += self.i.ready.eq(0)
        return m


BEATS = {"i": {"x": np.arange(50)}}


@pytest.mark.parametrize("fault", ["changes", "drops valid"])
def test_an_output_that_does_not_wait_is_noticed(fault):
    run = ModuleSimulation(Faulty(fault), "faulty").run(BEATS, {"o": 50}, stall={"o": 0.5})
    assert run.unstable > 0


def test_beats_that_nobody_expects_are_counted():
    assert ModuleSimulation(Faulty("gives too many"), "faulty").run(BEATS, {"o": 50}).surplus > 0


def test_a_module_that_stops_is_named(monkeypatch):
    monkeypatch.setattr(simulate, "IDLE_LIMIT", 100)
    with pytest.raises(
        RtlError, match="faulty: stream 'i' took 0 of 50 beats, then nothing moved for 100 cycles"
    ):
        ModuleSimulation(Faulty("never ready"), "faulty").run(BEATS, {"o": 50})


def test_a_sound_module_passes_and_is_recorded():
    run = ModuleSimulation(Faulty("none"), "sound").run(BEATS, {"o": 50}, record=8)
    assert (run.unstable, run.surplus, run.cycles) == (0, 0, 51)
    assert (run.outputs["o"]["x"] == np.arange(50)).all()
    assert run.flags.tolist() == [[3, 2]] + [[3, 3]] * 7


def test_a_wrong_integer_is_a_mismatch():
    module, inputs, counts = example("requantizer")
    run = ModuleSimulation(module, module.key).run(inputs, counts)
    expected = module.compute(inputs)
    assert mismatches(module, inputs, expected, run.outputs) == 0
    expected["o"]["y"][3, 1] += 1
    assert mismatches(module, inputs, expected, run.outputs) == 1


def test_a_golden_that_rounds_otherwise_does_not_pass():
    class Even(Requantizer):
        def compute(self, inputs):
            outputs = super().compute(inputs)
            i = inputs["i"]
            even = np.rint(i["x"] / 2.0 ** i["shift"]).clip(-128, 127).astype(np.int64)
            return {"o": {**outputs["o"], "y": even}}

    with pytest.raises(AssertionError):
        check(Even(4), 5000)


def test_the_same_seed_gives_the_same_run():
    module, inputs, counts = example("add")
    simulation = ModuleSimulation(module, module.key)
    cycles = [simulation.run(inputs, counts, seed=seed, stall=0.4).moved["o"].tolist() for seed in (1, 1, 2)]
    assert cycles[0] == cycles[1] != cycles[2]


def test_waveforms_are_written_where_asked(tmp_path):
    module, inputs, counts = example("lookup")
    with pytest.raises(RtlError, match="was compiled without waveforms"):
        ModuleSimulation(module, module.key).run(inputs, counts, trace=tmp_path / "x.vcd")
    traced = ModuleSimulation(module, module.key, trace=True)
    with pytest.raises(RtlError, match="the waveform file cannot be written"):
        traced.run(inputs, counts, trace=tmp_path / "nowhere" / "x.vcd")
    traced.run(inputs, counts, trace=tmp_path / "x.vcd")
    text = (tmp_path / "x.vcd").read_text()
    assert "$enddefinitions" in text
    assert " o_valid " in text


def test_what_is_missing_is_named():
    module, inputs, counts = example("layernorm")
    simulation = ModuleSimulation(module, module.key)
    with pytest.raises(RtlError, match="nothing is given for the input stream 'shifts'"):
        simulation.run({"i": inputs["i"]}, counts)
    with pytest.raises(RtlError, match="no number of beats is given for the output stream 'o'"):
        simulation.run(inputs, {})


def test_ports_must_be_streams():
    class Plain(wiring.Component):
        _MustUse__silence = True
        a: In(8)
        b: Out(8)

    with pytest.raises(RtlError, match="port 'a' of Plain is not a stream"):
        stream_ports(Plain())
