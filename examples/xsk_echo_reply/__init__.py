"""An address that answers ARP and ping, from an AF_XDP socket."""
