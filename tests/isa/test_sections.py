"""Section names against libbpf itself: its answer for a name, and what it opens an object as."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

from ebpfasm.isa.kinds import ATTACH_TYPES, PROGRAM_TYPES
from ebpfasm.isa.sections import (
    BY_PATTERN,
    LEGACY_SECTIONS,
    SECTIONS,
    SectionMatch,
    SectionSpec,
    resolve,
)
from tests import support
from tests.isa import judges

ODD_NAMES = (
    "", "/", "?", "+", "??xdp", "xdp+", "Xdp", " xdp", "xdp ", ".text", "license", "maps", ".maps",
    "tc/ingress/x", "xdp_prog", "xdp_devmap/x", "classifier/x", "kprobes/x", "tracepoint/a/b/c",
    "kprobe.multi.s/x", "uprobe//bin/sh:main+8", "usdt//bin/sh:a:b", "iter.s/bpf_map_elem",
    "struct_ops.s/x", "lsm.cgroup/x", "cgroup/sock_creates", "kprobe.multi/tcp_*",
)  # fmt: skip

# Reads a name a line, answers "program-type attach-type" or "-", after a line with its version.
ASK_LIBBPF = """
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>
static int quiet(enum libbpf_print_level l, const char *f, va_list a) { return 0; }
int main(void) {
    char name[256];
    libbpf_set_print(quiet);
    printf("%u.%u\\n", libbpf_major_version(), libbpf_minor_version());
    while (fgets(name, sizeof(name), stdin)) {
        enum bpf_prog_type program;
        enum bpf_attach_type attach;
        name[strcspn(name, "\\n")] = 0;
        if (libbpf_prog_type_by_name(name, &program, &attach)) puts("-");
        else printf("%d %d\\n", program, attach);
    }
    return 0;
}
"""

# Opens an object: a line for each program with section, types and whether it loads by itself.
OPEN_WITH_LIBBPF = """
#include <stdio.h>
#include <bpf/libbpf.h>
int main(int count, char **words) {
    struct bpf_object *object = bpf_object__open_file(words[1], NULL);
    struct bpf_program *p;
    if (!object) return 1;
    bpf_object__for_each_program(p, object)
        printf("%s %s %d %d %d\\n", bpf_program__name(p), bpf_program__section_name(p),
               bpf_program__type(p), bpf_program__expected_attach_type(p),
               bpf_program__autoload(p));
    return 0;
}
"""


def names_like(spec: SectionSpec) -> list[str]:
    name = spec.name
    return [name, name + "/", name + "/foo", name + "/a/b", name + "x", name + "_x", name + ".s",
            name + "+", name[:-1], name.upper(), "?" + name, "?" + name + "/foo"]  # fmt: skip


def numbers(match: SectionMatch | None) -> str:
    """Write a match as ASK_LIBBPF does; libbpf's 0 stands for no attach type."""
    if match is None:
        return "-"
    attach = ATTACH_TYPES.by_name[match.attach_type].id if match.attach_type else 0
    return f"{PROGRAM_TYPES.by_name[match.program_type].id} {attach}"


def test_patterns_are_unique_and_types_are_rows() -> None:
    assert len(BY_PATTERN) == len(SECTIONS) + len(LEGACY_SECTIONS)
    assert {spec.program_type for spec in SECTIONS} <= PROGRAM_TYPES.by_name.keys()
    assert {spec.attach_type for spec in SECTIONS} - {None} <= ATTACH_TYPES.by_name.keys()


def test_every_program_type_that_libbpf_loads_by_section_has_one() -> None:
    covered = {spec.program_type for spec in SECTIONS}
    assert PROGRAM_TYPES.by_name.keys() - covered == {"unspec"}


def test_sleepable_patterns_are_those_with_an_s_and_syscall() -> None:
    sleepable = {spec.name for spec in SECTIONS if spec.sleepable}
    assert sleepable == {"syscall"} | {spec.name for spec in SECTIONS if spec.name.endswith(".s")}
    assert {spec.name for spec in SECTIONS if spec.frags} == {
        spec.name for spec in SECTIONS if spec.name.startswith("xdp.frags")
    }


@pytest.mark.parametrize(
    ("section", "program", "attach", "target"),
    [
        ("xdp", "xdp", "xdp", None),
        ("xdp.frags/devmap", "xdp", "xdp_devmap", None),
        ("tc", "sched_cls", None, None),
        ("tcx/egress", "sched_cls", "tcx_egress", None),
        ("kprobe", "kprobe", None, None),
        ("kprobe/", "kprobe", None, ""),
        ("kprobe/do_unlinkat+4", "kprobe", None, "do_unlinkat+4"),
        ("tp/syscalls/sys_enter_openat", "tracepoint", None, "syscalls/sys_enter_openat"),
        ("uprobe.s//bin/sh:main", "kprobe", None, "/bin/sh:main"),
        ("cgroup_skb/ingress", "cgroup_skb", "cgroup_inet_ingress", None),
        ("struct_ops/tcp_init", "struct_ops", None, "tcp_init"),
    ],
)
def test_a_section_says_types_and_target(
    section: str, program: str, attach: str | None, target: str | None
) -> None:
    match = resolve(section)
    assert match
    assert (match.program_type, match.attach_type, match.target) == (program, attach, target)
    assert not match.optional
    asked = resolve("?" + section)
    assert asked
    assert (asked.spec, asked.target, asked.optional) == (match.spec, target, True)


@pytest.mark.parametrize(
    ("section", "pattern", "target"),
    [
        ("classifier/ingress", "classifier", "ingress"),
        ("classifier_main", "classifier", None),
        ("xdp_prog", "xdp", None),
        ("xdp/main", "xdp", "main"),
        ("xdp_devmap/x", "xdp_devmap/", "x"),
        ("xdp_devmap", "xdp", None),
        ("cgroup/sock_create2", "cgroup/sock_create", None),
        ("socket1", "socket", None),
        ("kprobe/foo", "kprobe+", "foo"),
    ],
)
def test_names_of_libbpf_0_are_found_on_request(
    section: str, pattern: str, target: str | None
) -> None:
    match = resolve(section, legacy=True)
    assert match
    assert (match.spec.pattern, match.target) == (pattern, target)
    if match.spec.exact or match.spec.legacy:
        assert resolve(section) is None


def test_legacy_rules_still_refuse_what_is_no_program() -> None:
    words = ("", ".text", "maps", "license", "kprobes", "tc2", "syscall2", "netkit")
    assert [resolve(word, legacy=True) for word in words] == [None] * len(words)


@cache
def libbpf_answers(names: tuple[str, ...]) -> tuple[tuple[int, int], dict[str, str]]:
    version, *lines = judges.run_c(ASK_LIBBPF, "-lbpf", stdin="\n".join(names) + "\n")
    return support.release_of(version), dict(zip(names, lines, strict=True))


@pytest.mark.tool("gcc")
def test_libbpf_answers_the_same_for_every_name() -> None:
    names = tuple(
        {*ODD_NAMES, *(name for spec in BY_PATTERN.values() for name in names_like(spec))}
    )
    version, answers = libbpf_answers(names)
    ours = {name: resolve(name) for name in names if not name.startswith("?")}
    told = {
        name: numbers(match)
        for name, match in ours.items()
        if match is None or support.release_of(match.spec.libbpf) <= version
    }
    assert len(told) > 700
    assert told == {name: answers[name] for name in told}


@pytest.mark.tool("gcc", "clang")
def test_libbpf_opens_an_object_with_the_same_types(tmp_path: Path) -> None:
    specs = [spec for spec in SECTIONS if support.release_of(spec.libbpf) <= (1, 0)]
    sections = [spec.name + ("" if spec.exact else "/foo") for spec in specs]
    sections = [("?" if index % 2 else "") + name for index, name in enumerate(sections)]
    code = "".join(
        f'__attribute__((section("{name}"), used)) int p{index}(void *ctx) {{ return 0; }}\n'
        for index, name in enumerate(sections)
    )
    target = tmp_path / "sections.o"
    clang = [support.find_tool("clang"), "--target=bpf", "-O2", "-xc", "-", "-c", "-o", str(target)]
    subprocess.run(clang, input=code, text=True, check=True)
    opened = open_with_libbpf(target)
    expected = {}
    for index, name in enumerate(sections):
        match = resolve(name)
        assert match
        expected[f"p{index}"] = f"{name.lstrip('?')} {numbers(match)} {int(not match.optional)}"
    assert opened == expected


def open_with_libbpf(target: Path) -> dict[str, str]:
    source = OPEN_WITH_LIBBPF.replace("words[1]", f'"{target}"')
    lines = judges.run_c(source, "-lbpf")
    return dict(line.split(" ", 1) for line in lines)
