"""Lookup of the certificates that a site's authority has to issue, with what there is of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: certificates_present
author: Airstrip
short_description: Certificates to issue, each with its file, its private key, and what is in the file
description:
  - Reads the files on the controller, and the keys among the secrets of the inventory, where missing ones are made.
options:
  _terms:
    description: Certificates, as O(certificates_issued) of the role certificates has them.
    type: list
    elements: dict
    required: true
  directory:
    description: Directory of the certificates on the controller.
    type: str
    required: true
    vars:
      - name: certificates_directory
"""

EXAMPLES = """
- name: Refer to what there is of the certificates
  ansible.builtin.set_fact:
    present: "{{ query('certificates_present', *certificates_issued) }}"
"""

RETURN = """
_raw:
  description: The certificates with C(path), C(key) (PEM) and C(certificate) (PEM; empty if it is yet to be issued).
  type: list
  elements: dict
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(certificates_present)."""

    def run(
        self, terms: Sequence[Mapping[str, Any]], variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return the certificates. Raises AnsibleLookupError if the secrets can be neither read nor written."""
        self.set_options(var_options=variables, direct=kwargs)
        # A variable that gives an option arrives as it was written, with its templates.
        directory = Path(str(self._templar.template(self.get_option("directory"))))
        secrets = lookup_loader.get("airflow_secret", loader=self._loader, templar=self._templar)
        names = [str(term["secret"]) for term in terms]
        keys = secrets.run(names, variables=variables, kind="private_key")
        found = []
        for term, key in zip(terms, keys, strict=True):
            path = directory / f"{term['name']}.crt"
            certificate = path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
            found.append({**term, "path": str(path), "key": key, "certificate": certificate})
        return found
