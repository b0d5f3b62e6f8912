"""A firewall whose rules are given at run time: networks in tries, ports in generated code."""
