from dataclasses import replace

import numpy as np
import pytest

from p2vit.accel.load_store.jobs import Load
from p2vit.hdl.compile.payload import Context, DescriptorPayload, NodePayload
from p2vit.hdl.top.descriptor import Dest, Kind, Source
from support.rtl_programs import ODD, PROGRAMS, compiled, program


class Silent(NodePayload):
    """Payload that adds nothing but an address."""

    def load(self, job, load):
        return {"address": 77}

    def run(self, job):
        return {}


def silent(name, of):
    """Return a job of a node and a payload of the program whose nodes say nothing themselves."""
    done = compiled(name, ODD)
    nodes = program(name).nodes
    contexts = [Context(node, [], done.layouts[node.name], ODD, None) for node in nodes]
    index = next(i for i, node in enumerate(nodes) if node.name.endswith(of))
    job = next(job for _, job in done.jobs if job.operation == index)
    return index, job, DescriptorPayload(ODD, [Silent(context) for context in contexts])


def test_the_schedule_gives_buffers_slots_and_sizes():
    index, job, payload = silent("linear", "attn.v")
    load = job.loads[0]
    made = payload.load(index, job, load, 5)
    assert (made.kind, made["dest"], made["open"], made["close"]) == (Kind.LOAD, Dest.WEIGHTS, 1, 1)
    assert (made["inner"], made["outer"], made["after"], made["address"]) == (load.words, 1, 5, 77)
    rows, parameters = (payload.load(index, job, load, 0) for load in job.loads[-2:])
    assert (rows["dest"], rows["open"], rows["close"]) == (Dest.ROWS, 1, 0)
    assert (parameters["dest"], parameters["open"], parameters["close"]) == (Dest.LINE_PARAMETERS, 0, 1)
    run = payload.run(index, job)
    assert run.kind == Kind.ARRAY
    assert (run["take_rows"], run["take_weights"], run["take_parameters"]) == (1, 1, 0)


def test_a_store_goes_to_the_region_that_the_job_writes():
    index, job, payload = silent("linear", "attn.softmax")
    made = payload.store(index, job)
    layout = compiled("linear", ODD).layouts[program("linear").nodes[index].name]
    assert (made["source"], made["planes"]) == (Source.VECTOR, 1)
    assert made["columns"] == layout.columns + 4  # the row sum follows the codes
    assert made["address"] == layout.at(job.writes.group, 0, job.writes.head)
    assert payload.end()["after"] == 1


def test_a_payload_that_moves_another_number_of_words_is_a_defect():
    index, job, payload = silent("linear", "attn.q")
    payload.nodes[index].load = lambda job, load: {"inner": load.words + 1}
    with pytest.raises(AssertionError, match="a load of another size"):
        payload.load(index, job, Load(4, "rows"), 0)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_address_is_inside_the_memory(name):
    done = compiled(name, ODD)
    for d in done.descriptors:
        if d.kind == Kind.LOAD and not d["gather"]:
            last = d["address"] + (d["outer"] - 1) * d["stride"] + d["inner"]
            assert 0 <= d["address"] < last <= len(done.image)
        elif d.kind == Kind.STORE:
            assert d["address"] + d["columns"] * d["planes"] <= len(done.image) - done.constant_words


def test_contexts_name_their_node():
    node = program("linear").nodes[3]
    context = Context(node, [], compiled("linear", ODD).layouts[node.name], ODD, None)
    assert Silent(replace(context)).name == node.name


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_load_reads_the_regions_that_it_waits_for_and_constants_are_never_written(name):
    done, nodes = compiled(name, ODD), program(name).nodes
    loads = iter(d for d in done.descriptors if d.kind == Kind.LOAD)
    tensors = len(done.image) - done.constant_words
    for _, job in done.jobs:
        for load in job.loads:
            made = next(loads)
            if load.reads:
                region = load.reads[0]
                layout = done.layouts[nodes[region.operation].name]
                row_sum = layout.columns if made["dest"] == Dest.LINE_PARAMETERS else 0
                assert made["address"] == layout.at(region.group, region.first, region.head) + row_sum
                if made["outer"] > 1:  # one region per group
                    assert made["outer"] == len(load.reads)
                    assert made["stride"] == layout.stride
            elif not load.gather:
                assert made["address"] >= tensors, nodes[job.operation].name
    assert next(loads, None) is None


@pytest.mark.parametrize("name", PROGRAMS)
def test_all_words_of_a_tensor_are_written_once(name):
    done = compiled(name, ODD)
    written = np.zeros(len(done.image), np.int64)
    for d in done.descriptors:
        if d.kind == Kind.STORE:
            written[d["address"] : d["address"] + d["columns"] * d["planes"]] += 1
    assert written.max() == 1
    for node in program(name).nodes:
        layout = done.layouts[node.name]
        words = written[layout.base : layout.base + layout.words].reshape(-1, layout.stride)
        first = (
            layout.first_row // ODD.lines
        )  # groups of nothing but room for prefix tokens are never written
        groups = words.reshape(layout.stack, layout.groups, layout.stride)[:, first:]
        assert (groups[:, :, : layout.columns * layout.bytes_each] == 1).all(), node.name
