"""``p2vit simulate``: what a model costs on a modelled accelerator."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from p2vit.accel.dataflow import Schedule
from p2vit.accel.edit import edit_machine
from p2vit.accel.explain import limiting_resource, what_would_help
from p2vit.accel.machine import Machine
from p2vit.accel.machines import known_machines, load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.simulate import Run
from p2vit.accel.simulate import simulate as run_model
from p2vit.accel.timing import Timing
from p2vit.accel.trace import perfetto_trace
from p2vit.accel.workload_vit import Precision
from p2vit.files import check_output, one_writer, write_text
from p2vit.report.simulation_page import html_report
from p2vit.workflows.inputs import OpenProgram, open_program
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import SimulateOptions
from p2vit.workflows.workload import open_workload

__all__ = ["known_machines", "run_simulate"]


@one_writer("trace", "report")
def run_simulate(
    model: str | OpenProgram,
    hardware: str = "paper",
    options: SimulateOptions | None = None,
    *,
    explain: bool = True,
    **replaced: Any,
) -> dict[str, Any]:
    """Simulate a model and write what is asked for.

    Args:
        model: An architecture's name, a program's folder, or a program that is open.
        hardware: Shipped description or path of a YAML file.
        options: What may be chosen; the defaults of `SimulateOptions` if None.
        explain: Whether to time what would help.
        **replaced: Fields of `SimulateOptions` that replace those of ``options``.

    Returns:
        The `Simulation` as a dictionary, with ``limiting`` and ``levers`` where that is explained.

    Raises:
        AccelError: on anything the user can put right.
    """
    options = changed(SimulateOptions, options, replaced)
    trace, report = options.trace, options.report
    for path in (trace, report):
        if path is not None:
            check_output(path, options.overwrite)
    machine = changed_machine(load_machine(hardware), options.changes)
    if options.changes and options.method == "descriptors":
        raise AccelError("--set", ["the RTL of --method descriptors is as it is; leave --set out"])
    pipelining = {"inter_layer": options.inter_layer, "intra_layer": options.intra_layer}
    chosen = machine.pipelining.model_dump() | {
        key: value for key, value in pipelining.items() if value is not None
    }
    if chosen != machine.pipelining.model_dump():
        machine = machine.with_pipelining(**chosen)
    workload = open_workload(model, Precision(options.weight_bits, options.attention == "log2"))
    if options.method == "descriptors":
        timing = _descriptor_timing(model, hardware, options.inter_layer, options.intra_layer)
        run = run_model(workload, machine, "descriptors", timing)
    else:
        tiles = options.method == "events" or trace is not None or report is not None
        run = run_model(workload, machine, "events" if tiles else "closed_form")
    if run.timing and trace:
        write_text(trace, perfetto_trace(run), options.overwrite)
    if run.timing and report:
        write_text(report, html_report(run), options.overwrite)
    return _answer(run) if explain else run.result.model_dump()


def changed_machine(machine: Machine, changes: tuple[str, ...]) -> Machine:
    """A machine with some figures changed.

    Args:
        machine: From the description.
        changes: ``key=value``; the value as YAML has it.

    Raises:
        AccelError: listing what is no ``key=value``, unknown or not allowed.
    """
    values: dict[str, Any] = {}
    problems = []
    for item in changes:
        key, equals, value = item.partition("=")
        if not equals or not key:
            problems.append(f"{item!r} is not KEY=VALUE; write for instance chunks.mac_array.lines=40")
            continue
        values[key.strip()] = _value(value.strip())
    if problems:
        raise AccelError("--set", problems)
    return edit_machine(machine, values) if values else machine


def _value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float) if text.isascii() and "_" not in text else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _descriptor_timing(
    model: str | OpenProgram, hardware: str, *pipelining: bool | None
) -> Callable[[Schedule], Timing]:
    """The RTL's cycles instead of the chunk model's.

    Raises:
        AccelError: no program, or a machine that does not exist as RTL.
        UnfitProgramError: a program that the RTL cannot hold.
    """
    from p2vit.hdl.chunk_timing import chunk_timing
    from p2vit.hdl.compile.compiler import compile_program
    from p2vit.hdl.top.machine import MACHINES

    if isinstance(model, str) and not Path(model).is_dir():
        raise AccelError(
            model, ["--method descriptors needs a program: the folder that p2vit quantize wrote"]
        )
    if hardware not in MACHINES:
        raise AccelError(
            hardware, [f"--method descriptors is for machines that exist as RTL: --hw {', '.join(MACHINES)}"]
        )
    if any(switch is not None for switch in pipelining):
        raise AccelError(
            "--method descriptors",
            [
                "gives the cycles of the RTL as it is: --inter-layer and --intra-layer do not apply; leave them out"
            ],
        )
    compiled = compile_program(
        open_program(Path(model) if isinstance(model, str) else model).program, MACHINES[hardware]
    )
    return partial(chunk_timing, compiled)


def _answer(run: Run) -> dict[str, Any]:
    answer = run.result.model_dump()
    if run.timing:
        name, share = limiting_resource(run)
        answer["limiting"] = {"resource": name, "busy": share}
        answer["levers"] = [asdict(lever) for lever in what_would_help(run.workload, run.machine)]
    return answer
