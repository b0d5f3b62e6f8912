"""`ebpfasm verify`: would the program be accepted?"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

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
from ebpfasm.errors import EbpfError, LoadError
from ebpfasm.ir import CollectionSpec, ProgramSpec


@click.command("verify")
@file_argument
@program_option
@type_option
@click.option("--kernel", is_flag=True, help="Ask the running kernel too, by loading.")
@json_option
def verify_command(
    file: Path, prog: str | None, program_type: str | None, kernel: bool, as_json: bool
) -> None:
    """Check FILE's programs: exit 0 accepted, 1 rejected, 2 the file cannot be read."""
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
    sys.exit(0 if all(result["accepted"] for result in results) else 1)


def _judge(program: ProgramSpec, spec: CollectionSpec, kernel: bool) -> dict[str, object]:
    verdict = ebpfasm.verify(program)
    diagnostics = list(verdict.diagnostics)
    judges = ["ebpfasm"]
    if verdict.ok and kernel:
        judges.append("kernel")
        wanted = replace(program, autoload=True)
        single = replace(spec, programs={program.name: wanted})
        try:
            ebpfasm.load(single).close()
        except LoadError as problem:
            diagnostics += problem.diagnostics
    return {
        "program": program.name,
        "accepted": not any(each.severity == "error" for each in diagnostics),
        "by": judges,
        "instructions_processed": verdict.instructions_processed,
        "diagnostics": [each.as_dict() for each in diagnostics],
        "text": [str(each) for each in diagnostics],
    }


def _sentence(result: dict[str, object]) -> str:
    judges = result["by"]
    assert isinstance(judges, list)
    word = "accepted" if result["accepted"] else "rejected"
    head = f"{result['program']}: {word} by {' and '.join(judges)}"
    text = result["text"]
    assert isinstance(text, list)
    return "\n".join([*text, head])
