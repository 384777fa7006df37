"""Filter: the server that a URL names."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.addresses import server


def url_server(url: object, variable: str) -> dict[str, Any]:
    """
    Return `host` and `port` of the server that a URL names, and the name of the `variable` that has the URL.

    Example: `'https://pypi.org/simple' | url_server('index')` gives `{'variable': 'index', 'host': 'pypi.org',
    'port': 443}`. Raises AnsibleFilterError on what names no server, and does not show it: it may have a password.
    """
    if not (found := server(url)):
        raise AnsibleFilterError(f"{variable} is no URL that names a server. Write it as https://name.example.com.")
    return {"variable": variable, "host": found[0], "port": found[1]}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"url_server": url_server}
