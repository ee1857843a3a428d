"""``p2vit simulate``: model the cycles, energy and area of a model on an accelerator."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.explain import limiting_resource, what_would_help
from p2vit.accel.machine.description import LoadStoreMachine, Machine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.simulate import Run
from p2vit.accel.simulate import simulate as run_model
from p2vit.accel.timing import Timing
from p2vit.accel.trace import perfetto_trace
from p2vit.accel.workload.batch import batched
from p2vit.accel.workload.precision import Precision
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
    """Simulate a model on an accelerator, and write the trace and the report if asked for.

    Args:
        model: Name of an architecture, a program's folder, or a loaded program.
        hardware: Name of an accelerator, or path of a YAML file.
        options: Options; the defaults of `SimulateOptions` if None.
        explain: Also find the limiting resource, and simulate each resource doubled.
        **replaced: Fields of `SimulateOptions` that replace those of ``options``.

    Returns:
        The fields of `p2vit.accel.results.Simulation`, and with ``explain`` also ``limiting`` and ``levers``.

    Raises:
        AccelError: The model, the accelerator or an option is not allowed; the message says what to do.
    """
    options = changed(SimulateOptions, options, replaced)
    trace, report = options.trace, options.report
    for path in (trace, report):
        if path is not None:
            check_output(path, options.overwrite)
    machine = changed_machine(load_machine(hardware), options.changes)
    if options.changes and options.method == "descriptors":
        raise AccelError(
            "--set", ["--method descriptors simulates the RTL, whose sizes are fixed; omit --set"]
        )
    pipelining = {"inter_layer": options.inter_layer, "intra_layer": options.intra_layer}
    chosen = machine.pipelining.model_dump() | {
        key: value for key, value in pipelining.items() if value is not None
    }
    if chosen != machine.pipelining.model_dump():
        machine = machine.with_pipelining(**chosen)
    workload = open_workload(model, Precision(options.weight_bits, options.attention == "log2"))
    if options.batch > 1 and isinstance(machine, LoadStoreMachine):
        raise AccelError(
            f"--batch {options.batch}",
            [
                f"{machine.name} runs one image after the other, so a batch takes {options.batch} times as long; "
                "omit --batch"
            ],
        )
    workload = batched(workload, options.batch)
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
    """Return a machine description with some figures changed.

    Args:
        machine: The description.
        changes: ``key=value``, with the value as in YAML.

    Raises:
        AccelError: An item is not ``key=value``, or its key or value is not allowed; the message lists all of them.
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
    """Return a function that gives the exact cycles of the RTL, instead of those of the chunk model.

    Raises:
        AccelError: The model is not a program, or the accelerator does not exist as RTL.
        UnfitProgramError: The program does not fit the RTL.
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
            hardware,
            [f"--method descriptors needs an accelerator that exists as RTL: --hw {', '.join(MACHINES)}"],
        )
    if any(switch is not None for switch in pipelining):
        raise AccelError(
            "--method descriptors",
            [
                "simulates the RTL, whose pipelining is fixed: --inter-layer and --intra-layer do not apply; omit them"
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
