"""`ebpfasm features`: what the running kernel can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from ebpfasm.cli.files import json_option
from ebpfasm.cli.selectors import usage
from ebpfasm.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from ebpfasm.runtime.features import Answer, Features

_CATEGORIES = (
    "program_types", "map_types", "attach_types", "link_types", "isa", "btf_kinds", "others",
)  # fmt: skip
_BRIEF = {"isa": ("v1", "v2", "v3", "v4")}  # all instructions are shown when asked for


@click.command("features")
@click.argument("category", metavar="[CATEGORY]", required=False)
@click.option("--type", "program_type", metavar="TYPE", help="Helpers of programs of this type.")
@click.option("--no", "only_no", is_flag=True, help="Only what is no yes.")
@json_option
def features_command(
    category: str | None, program_type: str | None, only_no: bool, as_json: bool
) -> None:
    """Say what the running kernel can do: tried, and not guessed from its version.

    CATEGORY is one of program_types, map_types, attach_types, link_types, isa, btf_kinds and
    others; without it all are shown.
    """
    from ebpfasm.asm.spelling import did_you_mean
    from ebpfasm.runtime.features import features

    found = features()
    if program_type is not None:
        if category is not None:
            raise usage("--type is about helpers: give no category")
        _show({f"helpers of {program_type}": _helpers(found, program_type)}, only_no, as_json)
        return
    if category is not None and category not in found:
        hint = did_you_mean(category, _CATEGORIES) or f"there are {', '.join(_CATEGORIES)}"
        raise usage(f"there is no category {category}", hint)
    chosen = _CATEGORIES if category is None else (category,)
    groups = {
        name: {
            each: found[name][each]
            for each in (_BRIEF.get(name, found[name]) if category is None else found[name])
        }
        for name in chosen
    }
    _show(groups, only_no, as_json)


def _helpers(found: Features, program_type: str) -> Mapping[str, Answer]:
    from ebpfasm.asm.spelling import did_you_mean
    from ebpfasm.isa.kinds import PROGRAM_TYPES

    row = PROGRAM_TYPES.find(program_type)
    if row is None or row.name == "unspec":
        hint = did_you_mean(program_type, PROGRAM_TYPES.by_name)
        raise usage(f"there is no program type {program_type}", hint)
    return found.helpers(row.name)


def _show(groups: Mapping[str, Mapping[str, Answer]], only_no: bool, as_json: bool) -> None:
    from ebpfasm.runtime.features import as_dict

    kept = {
        name: {each: answer for each, answer in answers.items() if not (only_no and answer)}
        for name, answers in groups.items()
    }
    if as_json:
        print_json({
            name: {each: as_dict(answer) for each, answer in answers.items()}
            for name, answers in kept.items()
        })  # fmt: skip
        return
    for index, (name, answers) in enumerate(kept.items()):
        click.echo(("\n" if index else "") + name.replace("_", " "))
        print_table(("name", "here", "since", "evidence"), _rows(answers), "  nothing to show")


def _rows(answers: Mapping[str, Answer]) -> Iterable[tuple[str, str, str, str]]:
    return ((name, answer.word, answer.since, answer.evidence) for name, answer in answers.items())
