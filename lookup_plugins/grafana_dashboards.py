"""Lookup of dashboards in directories of the controller."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: grafana_dashboards
author: Airstrip
short_description: Dashboards of Grafana in directories of the controller
description:
  - Reads each file in JSON of some directories. A directory that is not there or has none is refused, and so are files
    that are no dashboards, and two of one name or with one uid. Grafana would only log that, and show less.
options:
  _terms:
    description: Directories on the controller.
    required: true
"""

EXAMPLES = """
- name: Write the dashboards
  file_set:
    entries: "{{ query('grafana_dashboards', 'files/dashboards') }}"
"""

RETURN = """
_raw:
  description: Of each dashboard C(path), where it is to be on the host, and C(content).
  type: list
  elements: dict
"""

_PLACE = "/etc/grafana/dashboards"


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a dashboard as text and as what it says; raise AnsibleError on what is none."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise AnsibleError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict) or not found.get("title") or not isinstance(found.get("panels"), list):
        raise AnsibleError(f"{path} is no dashboard: it has no title, or no panels")
    return text, found


def _files(directory: Path) -> Iterator[Path]:
    if not directory.is_dir():
        raise AnsibleError(f"{directory}, of dashboards, is no directory")
    paths = sorted(directory.glob("*.json"))
    if not paths:
        raise AnsibleError(f"{directory} has no dashboard: no file ends in .json")
    yield from paths


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup."""

    def run(
        self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """Return the dashboards; raise AnsibleError for what is none."""
        self.set_options(var_options=variables, direct=kwargs)
        found: dict[str, str] = {}
        seen: dict[str, Path] = {}
        for directory in terms:
            for path in _files(Path(directory)):
                text, dashboard = _read(path)
                for what in (path.name, f"uid {dashboard.get('uid') or path.stem}"):
                    if what in seen:
                        raise AnsibleError(f"{path} and {seen[what]} have the same {what.split()[0]}")
                    seen[what] = path
                found[f"{_PLACE}/{path.name}"] = text
        return [{"path": place, "content": text} for place, text in found.items()]
