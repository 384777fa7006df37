"""Filter: a database's script of SQL, with its names in it, and the mark that tells that the database has had it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping


def postgresql_script(text: str, database: object) -> dict[str, str]:
    """
    Return `query`, which runs the script and then leaves `mark` as the database's comment.

    Example: `'GRANT SELECT ON t TO :"reader";' | postgresql_script({'name': 'app', 'script_names': {'reader': 'r'}})`.
    Each :"NAME" of the script becomes what `script_names` has for it, and :"database" the database's name, as psql does
    it. The mark changes with the script and with each of these names. Raises AnsibleFilterError on other shapes.
    """
    given = as_mapping(database, "postgresql_script: the database")
    names = as_mapping(given.get("script_names") or {}, "postgresql_script: script_names") | {"database": given["name"]}
    # With another way of writing them, the script would run again on each site.
    written = str({str(key): str(name) for key, name in names.items()})
    mark = f"Airstrip: {hashlib.sha256((text + written).encode()).hexdigest()}"
    for placeholder, name in names.items():
        text = text.replace(f':"{placeholder}"', f'"{name}"')
    return {"query": f"{text}\nCOMMENT ON DATABASE \"{given['name']}\" IS '{mark}';", "mark": mark}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"postgresql_script": postgresql_script}
