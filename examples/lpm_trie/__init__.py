"""Count packets by the longest prefix of their source address, IPv4 and IPv6."""
