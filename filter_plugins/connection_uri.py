"""Filter: connection URIs with every part quoted."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils import connection_uri as uri


def connection_uri(parts: object) -> str:
    """
    Compose a connection URI, see module_utils/connection_uri.py.

    Example: `{'scheme': 'redis', 'user': 'airflow', 'password': 'a/b', 'host': '::1', 'path': 0} | connection_uri`
    gives `redis://airflow:a%2Fb@[::1]/0`. Raises AnsibleFilterError for parts that make none.
    """
    try:
        return uri.connection_uri(parts)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"connection_uri": connection_uri}
