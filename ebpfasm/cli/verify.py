"""`ebpfasm verify`: would the program be accepted?"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import ebpfasm
from ebpfasm.cli.files import (
    choose,
    file_argument,
    json_option,
    open_file,
    program_option,
    type_option,
    with_type,
)
from ebpfasm.errors import EbpfError, LoadError, NotSupported
from ebpfasm.ir import CollectionSpec, ProgramSpec

ACCEPTED, REJECTED, NOT_ASKED = "accepted", "rejected", "not asked"


@click.command("verify")
@file_argument
@program_option
@type_option
@click.option("--kernel", is_flag=True, help="Ask the running kernel too, by loading.")
@json_option
def verify_command(
    file: Path, prog: str | None, program_type: str | None, kernel: bool, as_json: bool
) -> None:
    """Check FILE's programs: exit 0 accepted, 1 rejected, 2 not judged (a bad file, no rights)."""
    try:
        spec = open_file(file)
        chosen = prog is not None or not spec.programs  # where there is none, choose says so
        programs = [choose(spec, prog)] if chosen else list(spec.programs.values())
        programs = [with_type(each, program_type) for each in programs]
    except EbpfError as problem:
        click.echo(str(problem), err=True)
        sys.exit(2)
    results = [_judge(each, spec, kernel) for each in programs]
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        for result in results:
            click.echo(_sentence(result))
    words = {word for result in results for word in result["verdicts"].values()}
    sys.exit(1 if REJECTED in words else 2 if NOT_ASKED in words else 0)


def _judge(program: ProgramSpec, spec: CollectionSpec, kernel: bool) -> dict[str, Any]:
    verdict = ebpfasm.verify(program)
    diagnostics = list(verdict.diagnostics)
    verdicts = {"ebpfasm": ACCEPTED if verdict.ok else REJECTED}
    if verdict.ok and kernel:
        wanted = replace(program, autoload=True)
        single = replace(spec, programs={program.name: wanted})
        try:
            ebpfasm.load(single).close()
            verdicts["kernel"] = ACCEPTED
        except (LoadError, NotSupported) as problem:
            diagnostics += problem.diagnostics
            judged = any(each.code == "load-rejected" for each in problem.diagnostics)
            verdicts["kernel"] = REJECTED if judged else NOT_ASKED
    return {
        "program": program.name,
        "accepted": set(verdicts.values()) == {ACCEPTED},
        "verdicts": verdicts,
        "instructions_processed": verdict.instructions_processed,
        "diagnostics": [each.as_dict() for each in diagnostics],
        "text": [str(each) for each in diagnostics],
    }


def _sentence(result: dict[str, Any]) -> str:
    ours, kernels = (result["verdicts"].get(each) for each in ("ebpfasm", "kernel"))
    said = f"{ours} by ebpfasm"
    if kernels == NOT_ASKED:
        said += "; the kernel did not get to judge it"
    elif kernels is not None:
        said += " and kernel" if kernels == ours else f", {kernels} by the kernel"
    return "\n".join([*result["text"], f"{result['program']}: {said}"])
