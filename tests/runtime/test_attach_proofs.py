"""Every attach type of the kernel has a test that attaches so and sees the program run."""

from __future__ import annotations

import importlib

import pytest

from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.isa.sections import BY_PATTERN
from tests.runtime.test_attach_cgroup import HOOKS

_CGROUP = "attach_cgroup.test_every_hook_of_a_cgroup_is_set_off"
_SOCKMAP = "attach_sockets.test_a_sockmap_runs_a_program_for_its_sockets"
_MULTI = "attach_tracing.test_many_functions_are_one_link"

# Where a type has a section of a cgroup's, it is among the hooks of the cgroups' test.
PROOFS = {
    "sk_skb_stream_parser": "attach_sockets.test_a_parser_says_where_messages_end",
    "sk_skb_stream_verdict": _SOCKMAP,
    "sk_skb_verdict": _SOCKMAP,
    "sk_msg_verdict": _SOCKMAP,
    "sk_lookup": "attach_sockets.test_a_lookup_of_sockets_runs_in_a_namespace",
    "flow_dissector": "attach_sockets.test_a_flow_dissector_stands_alone_in_its_namespace",
    "sk_reuseport_select": "attach_sockets.test_a_reuseport_program_drops_for_a_group",
    "sk_reuseport_select_or_migrate": (
        "attach_sockets.test_a_program_sends_on_the_connections_of_a_socket_that_closes"
    ),
    "trace_raw_tp": "attach_probes.test_a_raw_tracepoint_is_counted",
    "trace_fentry": "attach_tracing.test_a_function_is_counted_at_entry_and_exit",
    "trace_fexit": "attach_tracing.test_a_function_is_counted_at_entry_and_exit",
    "trace_fsession": "attach_tracing.test_a_session_of_a_function_runs_at_entry_and_exit",
    "trace_fentry_multi": _MULTI,
    "trace_fexit_multi": _MULTI,
    "trace_fsession_multi": _MULTI,
    "modify_return": "attach_tracing.test_a_return_value_is_modified",
    "lsm_mac": "attach_tracing.test_a_security_hook_denies",
    "lsm_cgroup": "attach_cgroup.test_a_security_hook_is_attached_to_a_cgroup",
    "trace_iter": "attach_tracing.test_an_iterator_is_read_like_a_file",
    "xdp": "xdp.test_frames_are_counted_exactly",
    "xdp_devmap": "xdp.test_a_program_of_a_maps_element_runs_where_the_frame_goes",
    "xdp_cpumap": "xdp.test_a_program_of_a_maps_element_runs_where_the_frame_goes",
    "perf_event": "attach_probes.test_a_tracepoint_is_counted_by_a_link",
    "trace_kprobe_multi": "attach_probes.test_many_kprobes_are_one_link",
    "trace_kprobe_session": "attach_probes.test_a_session_runs_at_entry_and_return",
    "trace_uprobe_multi": "attach_probes.test_many_uprobes_are_one_link",
    "trace_uprobe_session": (
        "attach_probes.test_a_session_in_user_space_runs_at_entry_and_return"
    ),
    "struct_ops": "program_types.test_a_struct_ops_table_is_registered_and_taken_back",
    "netfilter": "attach_net.test_a_netfilter_hook_counts_packets",
    "tcx_ingress": "attach_net.test_packets_are_counted_on_their_way",
    "tcx_egress": "attach_net.test_packets_are_counted_on_their_way",
    "netkit_primary": "attach_net.test_a_netkit_device_runs_a_program_at_either_end",
    "netkit_peer": "attach_net.test_a_netkit_device_runs_a_program_at_either_end",
}  # fmt: skip
# No kernel at hand has BPF_LIRC_MODE2: it takes RC_CORE built in.
UNPROVEN = {"lirc_mode2"}

# Ways that have no attach type of their own, by what attach() goes by.
WAYS = {
    "kprobe": "attach_probes.test_a_kprobe_counts_a_system_call",
    "ksyscall": "attach_probes.test_a_kprobe_counts_a_system_call",
    "uprobe": "attach_probes.test_a_uprobe_counts_a_function_by_its_name",
    "usdt": "attach_probes.test_a_usdt_probe_hands_its_arguments_over",
    "tracepoint": "attach_probes.test_a_tracepoint_is_counted_whatever_the_kernel_has",
    "raw_tracepoint": "attach_probes.test_a_raw_tracepoint_is_counted",
    "perf_event": "attach_probes.test_a_software_event_runs_on_every_cpu",
    "socket_filter": "attach_sockets.test_a_filter_counts_what_a_socket_receives",
    "ext": "attach_tracing.test_a_function_of_a_program_is_replaced",
    "lwt_in": "attach_net.test_a_route_runs_a_program_on_what_it_takes",
    "lwt_out": "attach_net.test_a_route_runs_a_program_on_what_it_sends",
    "lwt_xmit": "attach_net.test_a_route_runs_a_program_on_what_it_sends",
    "lwt_seg6local": "attach_net.test_a_segment_of_a_route_runs_a_program",
    "offload": "xdp_device.test_a_card_takes_a_program_and_its_map",
    "driver": "xdp_device.test_a_program_asks_its_driver_for_metadata",
}


def test_every_attach_type_is_proven_or_named() -> None:
    sections = [str(getattr(each, "values", each)[0]) for each in HOOKS]
    hooks = {BY_PATTERN[each].attach_type for each in sections}
    assert len(hooks) > 20
    assert {each.name for each in ATTACH_TYPES} == {*PROOFS, *UNPROVEN, *hooks}


@pytest.mark.parametrize("proof", sorted({*PROOFS.values(), *WAYS.values(), _CGROUP}))
def test_each_proof_is_a_test(proof: str) -> None:
    file, name = proof.split(".")
    assert callable(getattr(importlib.import_module(f"tests.runtime.test_{file}"), name))
