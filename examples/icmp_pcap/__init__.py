"""Capture ICMP alone, by a program on a packet socket, and write it as pcap."""
