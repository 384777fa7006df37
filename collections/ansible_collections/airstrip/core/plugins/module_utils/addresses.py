"""Addresses of servers in what people and hosts write."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80}
_OTHER_PORT = 443


def ip(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a text is; None of a name, or of anything else."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None


def server(url: object) -> tuple[str, int] | None:
    """Return the name or address of a URL's server, and its port; None of a text that names none."""
    try:
        parts = urlsplit(str(url))
        port = parts.port
    except ValueError:
        return None
    return (parts.hostname, port or _PORTS.get(parts.scheme, _OTHER_PORT)) if parts.hostname else None
