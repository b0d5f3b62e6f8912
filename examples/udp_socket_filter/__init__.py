"""Filter what a UDP socket receives: datagrams to 127.0.0.1 pass, others do not."""
