"""Programs with storage, locks, rings, casts and redirects, for the kernel to judge."""

from __future__ import annotations

from tests.vm.cases import Case, tc, with_maps, xdp

_FULL = (
    "r7 = *(u64 *)(r6 + 168)\nif r7 == 0 goto none\n"
    "r1 = r7; call bpf_sk_fullsock; if r0 == 0 goto none\nr7 = r0\n"
)
_TASK = "call bpf_get_current_task_btf; r7 = r0\n"
_NONE = "\nnone: r0 = 1111; exit"


def _storage(name: str, kind: str, body: str) -> Case:
    owner = {"sk": _FULL, "task": _TASK}[kind]
    case = tc(name, owner + body + (_NONE if kind == "sk" else ""))
    return with_maps(case, f".map s, {kind}_storage, key=s32, value=u64, flags=1")


def _get(kind: str, flags: int, value: str = "r3 = 0") -> str:
    return (
        f"r1 = s ll; r2 = r7; {value}; r4 = {flags}; call bpf_{kind}_storage_get\n"
        "if r0 == 0 goto out\n"
    )


def _steps(kind: str) -> list[Case]:
    look = "r1 = *(u64 *)(r0 + 0); r9 *= 10; r9 += r1; r1 += 3; *(u64 *)(r0 + 0) = r1\n"
    initial = "*(u64 *)(r10 - 8) = 5; r3 = r10; r3 += -8"
    out = "out: r0 = r9; exit\n"
    delete = f"r1 = s ll; r2 = r7; call bpf_{kind}_storage_delete; r9 *= 100; r9 += r0\n"
    gone = f"r1 = s ll; r2 = r7; r3 = 0; r4 = 0; call bpf_{kind}_storage_get\n"
    return [
        _storage(f"no {kind} storage", kind, "r9 = 4\n" + _get(kind, 0) + "r9 = 5\n" + out),
        _storage(
            f"{kind} storage made",
            kind,
            "r9 = 0\n" + _get(kind, 1) + look + _get(kind, 0) + look + delete + out,
        ),
        _storage(
            f"{kind} storage with a value",
            kind,
            "r9 = 0\n" + _get(kind, 1, initial) + look + delete + out,
        ),
        _storage(
            f"{kind} storage with unknown flags",
            kind,
            "r9 = 4\n" + _get(kind, 2) + "r9 = 5\n" + out,
        ),
        _storage(f"no {kind} storage to delete", kind, "r9 = 4\n" + delete + out),
        _storage(
            f"{kind} storage after its end",
            kind,
            "r9 = 0\n" + _get(kind, 1) + look + delete + gone + "if r0 == 0 goto out\n"
            "r9 = 5\n" + out,
        ),
    ]


_RING = ".map r, ringbuf, max_entries=4096"
_RESERVE = (
    "r1 = r ll; r2 = {size}; r3 = 0; call bpf_ringbuf_reserve\nif r0 == 0 goto none\n"
    "*(u64 *)(r0 + 0) = 5\nr1 = r0; r2 = 0; call bpf_ringbuf_{end}\n"
)


def _query(flag: int) -> str:
    return f"r1 = r ll; r2 = {flag}; call bpf_ringbuf_query; r9 *= 10007; r9 += r0\n"


_QUERIES = "".join(map(_query, (0, 1, 2, 3, 9)))

RINGS = [
    with_maps(
        xdp(
            "records",
            "r9 = 0\n"
            + _RESERVE.format(size=24, end="submit")
            + _QUERIES
            + _RESERVE.format(size=8, end="discard")
            + _QUERIES
            + "r0 = r9; exit"
            + _NONE,
        ),
        _RING,
    ),
    with_maps(
        xdp("record too long", _RESERVE.format(size=5000, end="submit") + "r0 = 3; exit" + _NONE),
        _RING,
    ),
    *(
        with_maps(
            xdp(
                f"record of {size} bytes with flags {flags}",
                "*(u64 *)(r10 - 8) = 1; *(u64 *)(r10 - 16) = 1\n"
                f"r1 = r ll; r2 = r10; r2 += -16; r3 = {size}; r4 = {flags}; "
                "call bpf_ringbuf_output\n"
                "r9 = r0\n" + _QUERIES + "r0 = r9; exit",
            ),
            _RING,
        )
        for size, flags in ((16, 0), (9, 1), (8, 2), (8, 4))
    ),
    with_maps(
        xdp(
            "nothing to drain",
            "r1 = u ll; r2 = each ll; r3 = 0; r4 = 0; "
            "call bpf_user_ringbuf_drain\n"
            "exit\n.text\neach: r0 = 0; exit",
        ),
        ".map u, user_ringbuf, max_entries=4096",
    ),
    with_maps(
        xdp(
            "drain with flags",
            "r1 = u ll; r2 = each ll; r3 = 0; r4 = 9; "
            "call bpf_user_ringbuf_drain\n"
            "exit\n.text\neach: r0 = 0; exit",
        ),
        ".map u, user_ringbuf, max_entries=4096",
    ),
]

_COMMON = "r7 = *(u64 *)(r6 + 168)\nif r7 == 0 goto none\n"
CASTS = [
    tc(
        f"no {struct}",
        _COMMON + f"r1 = r7; call bpf_skc_to_{struct}; if r0 != 0 goto none\nr0 = 5; exit" + _NONE,
    )
    for struct in (
        "tcp_sock", "tcp6_sock", "tcp_timewait_sock", "tcp_request_sock", "udp6_sock", "unix_sock",
        "mptcp_sock",
    )
]  # fmt: skip


def _hash(body: str) -> str:
    return f"{body}r1 = r6; call bpf_get_hash_recalc; r9 = r0\nr0 = r9; exit"


REDIRECTS = [
    tc("redirect inwards", "r1 = 5; r2 = 1; call bpf_redirect; exit"),
    tc("redirect with unknown flags", "r1 = 5; r2 = 16; call bpf_redirect; exit"),
    tc("redirect to the peer", "r1 = 5; r2 = 0; call bpf_redirect_peer; exit"),
    tc("redirect to the peer with flags", "r1 = 5; r2 = 1; call bpf_redirect_peer; exit"),
    tc("redirect to a neighbour", "r1 = 5; r2 = 0; r3 = 0; r4 = 0; call bpf_redirect_neigh; exit"),
    tc("redirect to a neighbour with flags",
       "r1 = 5; r2 = 0; r3 = 0; r4 = 1; call bpf_redirect_neigh; exit"),
    tc("redirect to a next hop", "*(u64 *)(r10 - 24) = 2; *(u64 *)(r10 - 16) = 0; "
                                 "*(u64 *)(r10 - 8) = 0\n"
       "r1 = 5; r2 = r10; r2 += -24; r3 = 20; r4 = 0; call bpf_redirect_neigh; exit"),
    tc("redirect to half a next hop", "*(u64 *)(r10 - 24) = 2; *(u64 *)(r10 - 16) = 0\n"
       "r1 = 5; r2 = r10; r2 += -24; r3 = 16; r4 = 0; call bpf_redirect_neigh; exit"),
    tc("clone with unknown flags", "r1 = r6; r2 = 1; r3 = 16; call bpf_clone_redirect; exit"),
    tc("clone to nowhere", "r1 = r6; r2 = 99999; r3 = 0; call bpf_clone_redirect; exit"),
    *(
        with_maps(
            xdp(f"redirect through no entry with flags {flags}",
                f"r1 = d ll; r2 = 2; r3 = {flags}; call bpf_redirect_map; exit"),
            ".map d, devmap, key=u32, value=u32, max_entries=4",
        )
        for flags in (0, 2, 3, 0x40)
    ),
    tc("hash that was set", _hash("r1 = r6; r2 = 77; call bpf_set_hash\n")),
    tc("no socket to assign with flags", _COMMON + "r1 = r6; r2 = 0; r3 = 0; r0 = 0; exit" + _NONE),
    tc("realm", "r1 = r6; call bpf_get_route_realm; exit"),
    tc("class", "r1 = r6; call bpf_get_cgroup_classid; exit"),
    tc("class of the socket", "r1 = r6; call bpf_skb_cgroup_classid; exit"),
    tc("cgroup of the socket", "r1 = r6; call bpf_skb_cgroup_id; r9 = r0\n"
       "r1 = r6; r2 = 0; call bpf_skb_ancestor_cgroup_id; r9 -= r0\n"
       "r1 = r6; r2 = 9; call bpf_skb_ancestor_cgroup_id; r9 *= 100; r9 += r0; r0 = r9; exit"),
]  # fmt: skip

STORAGE = [*_steps("sk"), *_steps("task")]
