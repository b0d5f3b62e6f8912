"""The fields of packet headers as they lie on the wire: `*(u8 *)(r2 + iphdr.protocol)`.

Structs and members have the names that linux/*.h gives them. Numbers longer than a byte are in
network byte order ("be16"). Fields that are part of a byte have that byte's offset and, behind
a colon, the mask that takes them out of it: iphdr.ihl is "u8:0x0f". Headers with options are as
long as without any. Sources: the headers named here; vlan_hdr and ether_arp's kernel twin are
in include/linux/if_vlan.h and net/ipv4/arp.c.

>>> field("iphdr.saddr").offset, field("ethhdr.h_source[2]").offset, STRUCTS["tcphdr"].size
(12, 8, 20)
"""

from __future__ import annotations

import re

from ebpfasm.isa.contexts import ContextField, Struct

_ELEMENT = re.compile(r"([\w.]+)\[([0-9]{1,9})\]", re.ASCII)

_BYTES = {"u8": 1, "be16": 2, "be32": 4}

STRUCTS: dict[str, Struct] = {}


def field(path: str) -> ContextField | None:
    """Find "header.field" or "header.field[index]"; None if there is no such field."""
    name, _, member = path.partition(".")
    owner = STRUCTS.get(name)
    if owner is None:
        return None
    match = _ELEMENT.fullmatch(member)
    if match is None:
        return owner.by_name.get(member)
    found = owner.by_name.get(match[1])
    return found.element(int(match[2])) if found is not None else None


def mask(found: ContextField) -> int | None:
    """The bits of its byte that a field has, None for a field of whole bytes."""
    return int(found.type.partition(":")[2], 16) if ":" in found.type else None


def _size(kind: str) -> int:
    of, _, count = kind.partition(":")[0].removesuffix("]").partition("[")
    return _BYTES[of] * int(count or 1)


_Row = tuple[str, int, str, str]


def _header(name: str, size: int, header: str, doc: str, rows: tuple[_Row, ...]) -> None:
    fields = tuple(
        ContextField(name, field, offset, _size(kind), kind, doc)
        for field, offset, kind, doc in rows
    )
    STRUCTS[name] = Struct(name, size, header, doc, fields, {each.name: each for each in fields})


# fmt: off
#        field                offset  type      doc
_header("ethhdr", 14, "linux/if_ether.h", "Ethernet", (
    ("h_dest",                     0, "u8[6]",   "destination address"),
    ("h_source",                   6, "u8[6]",   "source address"),
    ("h_proto",                   12, "be16",    "EtherType (ETH_P_*) of what follows"),
))

_header("vlan_hdr", 4, "", "IEEE 802.1Q tag, behind ethhdr when h_proto is ETH_P_8021Q", (
    ("h_vlan_TCI",                 0, "be16",    "priority (3 bits), drop eligible (1), VLAN (12)"),
    ("h_vlan_encapsulated_proto",  2, "be16",    "EtherType of what follows"),
))

_header("arphdr", 8, "linux/if_arp.h", "ARP; addresses follow, as ether_arp has them for IPv4", (
    ("ar_hrd",                     0, "be16",    "kind of hardware address (1: Ethernet)"),
    ("ar_pro",                     2, "be16",    "kind of protocol address (ETH_P_IP)"),
    ("ar_hln",                     4, "u8",      "bytes of a hardware address"),
    ("ar_pln",                     5, "u8",      "bytes of a protocol address"),
    ("ar_op",                      6, "be16",    "1: request, 2: reply"),
))

_header("ether_arp", 28, "netinet/if_ether.h", "ARP for IPv4 over Ethernet, arphdr included", (
    ("arp_hrd",                    0, "be16",    "kind of hardware address (1: Ethernet)"),
    ("arp_pro",                    2, "be16",    "kind of protocol address (ETH_P_IP)"),
    ("arp_hln",                    4, "u8",      "bytes of a hardware address: 6"),
    ("arp_pln",                    5, "u8",      "bytes of a protocol address: 4"),
    ("arp_op",                     6, "be16",    "1: request, 2: reply"),
    ("arp_sha",                    8, "u8[6]",   "sender's hardware address"),
    ("arp_spa",                   14, "u8[4]",   "sender's protocol address"),
    ("arp_tha",                   18, "u8[6]",   "target's hardware address"),
    ("arp_tpa",                   24, "u8[4]",   "target's protocol address"),
))

_header("iphdr", 20, "linux/ip.h", "IPv4", (
    ("ihl",                        0, "u8:0x0f", "length of the header in words of 4 bytes"),
    ("version",                    0, "u8:0xf0", "4"),
    ("tos",                        1, "u8",      "differentiated services and congestion marks"),
    ("tot_len",                    2, "be16",    "bytes of the packet, this header included"),
    ("id",                         4, "be16",    "identification of a packet's fragments"),
    ("frag_off",                   6, "be16",    "flags (3 bits), offset in units of 8 bytes (13)"),
    ("ttl",                        8, "u8",      "hops left"),
    ("protocol",                   9, "u8",      "what follows (IPPROTO_*)"),
    ("check",                     10, "be16",    "checksum of the header"),
    ("saddr",                     12, "be32",    "source address"),
    ("daddr",                     16, "be32",    "destination address"),
))

_header("ipv6hdr", 40, "linux/ipv6.h", "IPv6", (
    ("priority",                   0, "u8:0x0f", "upper half of the traffic class"),
    ("version",                    0, "u8:0xf0", "6"),
    ("flow_lbl",                   1, "u8[3]",   "lower half of the traffic class (4 bits), flow (20)"),
    ("payload_len",                4, "be16",    "bytes behind this header"),
    ("nexthdr",                    6, "u8",      "what follows (IPPROTO_*)"),
    ("hop_limit",                  7, "u8",      "hops left"),
    ("saddr",                      8, "be32[4]", "source address"),
    ("daddr",                     24, "be32[4]", "destination address"),
))

_header("tcphdr", 20, "linux/tcp.h", "TCP", (
    ("source",                     0, "be16",    "source port"),
    ("dest",                       2, "be16",    "destination port"),
    ("seq",                        4, "be32",    "number of the first byte"),
    ("ack_seq",                    8, "be32",    "number of the byte expected next"),
    ("doff",                      12, "u8:0xf0", "length of the header in words of 4 bytes"),
    ("fin",                       13, "u8:0x01", "no more data"),
    ("syn",                       13, "u8:0x02", "opens a connection"),
    ("rst",                       13, "u8:0x04", "aborts a connection"),
    ("psh",                       13, "u8:0x08", "deliver at once"),
    ("ack",                       13, "u8:0x10", "ack_seq counts"),
    ("urg",                       13, "u8:0x20", "urg_ptr counts"),
    ("ece",                       13, "u8:0x40", "congestion was seen"),
    ("cwr",                       13, "u8:0x80", "window was reduced"),
    ("window",                    14, "be16",    "bytes that may be sent, before scaling"),
    ("check",                     16, "be16",    "checksum"),
    ("urg_ptr",                   18, "be16",    "end of urgent data"),
))

_header("udphdr", 8, "linux/udp.h", "UDP", (
    ("source",                     0, "be16",    "source port"),
    ("dest",                       2, "be16",    "destination port"),
    ("len",                        4, "be16",    "bytes, this header included"),
    ("check",                      6, "be16",    "checksum, 0 for none"),
))

_header("icmphdr", 8, "linux/icmp.h", "ICMP", (
    ("type",                       0, "u8",      "0: echo reply, 3: unreachable, 8: echo request, 11: time exceeded"),
    ("code",                       1, "u8",      "says more about the type"),
    ("checksum",                   2, "be16",    "checksum"),
    ("un.echo.id",                 4, "be16",    "echo: whose"),
    ("un.echo.sequence",           6, "be16",    "echo: which"),
    ("un.gateway",                 4, "be32",    "redirect: the gateway to use"),
    ("un.frag.mtu",                6, "be16",    "fragmentation needed: the next hop's MTU"),
))

_header("icmp6hdr", 8, "linux/icmpv6.h", "ICMPv6", (
    ("icmp6_type",                 0, "u8",      "1: unreachable, 2: too big, 128: echo request, 129: echo reply"),
    ("icmp6_code",                 1, "u8",      "says more about the type"),
    ("icmp6_cksum",                2, "be16",    "checksum"),
    ("icmp6_dataun.u_echo.identifier", 4, "be16", "echo: whose"),
    ("icmp6_dataun.u_echo.sequence",   6, "be16", "echo: which"),
    ("icmp6_dataun.un_data32",     4, "be32[1]", "by type, such as packet too big: the MTU"),
))
# fmt: on
