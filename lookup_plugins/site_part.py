"""Lookup of the hosts of a part of a playbook, which has no meaning of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: site_part
author: Airstrip
short_description: The hosts of a play that playbooks import, and nobody runs alone
description:
  - Returns its terms, the hosts of the first play of a file in C(playbooks/parts).
  - Refuses the run if such a file was given to C(ansible-playbook). Without the plays before it, it would find no
    host and no change to make, and end well.
  - Ansible asks for the hosts of a play on the controller, before anything else of it, so this costs no task.
options:
  _terms:
    description: Hosts or groups.
    required: true
"""

EXAMPLES = """
- name: Provide the broker
  hosts: "{{ lookup('site_part', 'redis') }}"
"""

RETURN = """
_raw:
  description: The terms.
  type: list
  elements: str
"""
_ROOT = Path(__file__).resolve().parents[1]


def wholes(root: Path, part: str) -> list[str]:
    """Return the playbooks below `root` that import a part, named by its file: site.yml alone, if it is one of them."""
    importing = re.compile(rf"import_playbook: (\S*/)?{re.escape(part)}$", re.MULTILINE)
    found: list[str] = []
    for path in [root / "site.yml", *sorted(root.glob("playbooks/*.yml")), *sorted(root.glob("playbooks/parts/*.yml"))]:
        if importing.search(path.read_text(encoding="utf-8")):
            name = path.relative_to(root).as_posix()
            found += wholes(root, path.name) if name.startswith("playbooks/parts/") else [name]
    return ["site.yml"] if "site.yml" in found else found


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(site_part)."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:  # noqa: ARG002 - as Ansible calls it
        """Return `terms`. Raises AnsibleLookupError if ansible-playbook was given a part."""
        # A check of the syntax runs nothing: ansible-lint checks each file.
        given = () if context.CLIARGS.get("syntax") else context.CLIARGS.get("args", ())
        started = [Path(name).resolve() for name in given]
        for part in (path.name for path in started if path.parent == _ROOT / "playbooks" / "parts"):
            instead = " or ".join(f"ansible-playbook {name}" for name in wholes(_ROOT, part))
            raise AnsibleLookupError(
                f"playbooks/parts/{part} is a part of other playbooks, and does not run alone. "
                f"Run {instead} instead; --tags narrows it (docs/tags.md)."
            )
        return list(terms)
