"""IP addresses in what people and hosts write."""

from __future__ import annotations

import ipaddress


def ip(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a text is; None of a name, or of anything else."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None
