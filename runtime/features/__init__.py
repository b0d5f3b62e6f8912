"""What the running kernel can do, found out by trying and never by its version.

The kernel's BTF is asked first, which knows the names of every type; then something of it is
made or loaded. Each answer is yes, no or unknown, with the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from ebpfasm.errors import NotSupported, unsupported
from ebpfasm.isa.kinds import ATTACH_TYPES, MAP_TYPES
from ebpfasm.runtime.features import instructions, links, maps, others, programs, types
from ebpfasm.runtime.features.answer import Answer as Answer


class Answers(Mapping[str, Answer]):
    """Answers by name, each found when it is first asked for."""

    def __init__(self, what: str, names: tuple[str, ...], ask: Callable[[str], Answer]) -> None:
        self.what = what
        self._names = dict.fromkeys(names)
        self._ask = ask
        self._known: dict[str, Answer] = {}

    def __getitem__(self, name: str) -> Answer:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._known:
            self._known[name] = self._ask(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        known = sum(answer.supported is True for answer in self._known.values())
        return f"<{self.what}: {known} yes of {len(self._known)} asked of {len(self)}>"


class Features(Mapping[str, Answers]):
    """All that can be asked, by category; nothing is tried before it is asked for.

    `features["map_types"]["ringbuf"]` is an Answer, true where the kernel has it. Helpers are
    asked for a program type: `features.helpers("xdp")["bpf_loop"]`.
    """

    def __init__(self) -> None:
        self._helpers: dict[str, Answers] = {}
        levels = dict.fromkeys(instructions.LEVELS)
        self._categories = {
            "program_types": Answers(
                "program type", tuple(programs.PROGRAM_ROWS),
                lambda name: programs.program_type(programs.PROGRAM_ROWS[name]),
            ),
            "map_types": Answers(
                "map type", tuple(MAP_TYPES.by_name)[1:],
                lambda name: maps.map_type(MAP_TYPES.by_name[name]),
            ),
            "attach_types": Answers(
                "attach type", tuple(programs.ATTACH_ROWS),
                lambda name: links.attach_type(ATTACH_TYPES.by_name[name]),
            ),
            "link_types": Answers(
                "link type", tuple(links.LINK_ROWS),
                lambda name: links.link_type(
                    links.LINK_ROWS[name], self._categories["attach_types"].__getitem__
                ),
            ),
            "isa": Answers(
                "instruction", (*levels, *instructions.INSTRUCTION_ROWS), self._instruction
            ),
            "btf_kinds": Answers("BTF kind", tuple(types.KINDS), types.btf_kind),
            "others": Answers("feature", (*others.OTHERS, *others.SETTINGS), _other),
        }  # fmt: skip

    def __getitem__(self, category: str) -> Answers:
        return self._categories[category]

    def __iter__(self) -> Iterator[str]:
        return iter(self._categories)

    def __len__(self) -> int:
        return len(self._categories)

    def helpers(self, program_type: str) -> Answers:
        """Answers for each helper in programs of a type, by "bpf_..." name. Raises KeyError."""
        if program_type not in programs.PROGRAM_ROWS:
            raise KeyError(program_type)
        if program_type not in self._helpers:
            self._helpers[program_type] = Answers(
                f"helper in {program_type} programs", tuple(programs.HELPER_ROWS),
                lambda name: programs.helper(programs.HELPER_ROWS[name], program_type),
            )  # fmt: skip
        return self._helpers[program_type]

    def require(self, category: str, name: str) -> None:
        """Raise NotSupported where the kernel says no; it names the first kernel that has it."""
        answers = self[category]
        answer = answers[name]
        if answer.supported is False:
            raise lacking(answers.what, name, answer)

    def _instruction(self, name: str) -> Answer:
        if name in instructions.LEVELS:
            return instructions.level(name, self._categories["isa"].__getitem__)
        return instructions.supports(instructions.INSTRUCTION_ROWS[name])

    def as_dict(self) -> dict[str, Any]:
        """Every answer as plain values. Everything is asked, which takes a second or two."""
        return {
            category: {name: as_dict(answer) for name, answer in answers.items()}
            for category, answers in self.items()
        }


def as_dict(answer: Answer) -> dict[str, object]:
    """An answer as plain values, for JSON."""
    return {
        "supported": answer.supported, "evidence": answer.evidence, "since": answer.since,
    }  # fmt: skip


def lacking(what: str, name: str, answer: Answer) -> NotSupported:
    """The error for a feature that the kernel said no to."""
    return unsupported(f"{what} {name}", answer.since, hint=answer.evidence)


def _other(name: str) -> Answer:
    return others.SETTINGS[name]() if name in others.SETTINGS else others.other(name)


@cache
def features() -> Features:
    """The running kernel's; answers are kept for the life of the process."""
    return Features()
