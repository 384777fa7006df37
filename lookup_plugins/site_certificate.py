"""Lookup of what the site's authority has signed for a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: site_certificate
author: Airstrip
short_description: A certificate of a component on this host, signed by the site's authority
description:
  - Returns a certificate (PEM) from the controller, or its private key, which is a secret of the inventory.
  - Nothing (an empty text) for what the site does not have, because it has no TLS, because the component is on another
    host, or because it is yet to be signed.
  - Reads the registered result C(site) of the action M(site_model).
options:
  _terms:
    description: Components, or V(ca) for the authority's own certificate.
    required: true
  part:
    description: What of it.
    type: str
    choices: [certificate, key]
    default: certificate
  host:
    description: The host; this one by default.
    type: str
    vars:
      - name: inventory_hostname
  directory:
    description: Directory of the certificates on the controller.
    type: str
    required: true
    vars:
      - name: certificates_directory
  ca_file:
    description: File of the authority's certificate on the controller.
    type: str
    required: true
    vars:
      - name: certificates_ca_certificate_file
"""

EXAMPLES = """
- name: Refer to the key of this host's broker
  ansible.builtin.set_fact:
    redis_certificate_key: "{{ lookup('site_certificate', 'redis', part='key') }}"
"""

RETURN = """
_raw:
  description: Certificates or keys, in the order of the components.
  type: list
  elements: str
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(site_certificate)."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return what is signed for `terms`. Raises AnsibleLookupError before the site has been worked out."""
        given = variables or {}
        self.set_options(var_options=given, direct=kwargs)
        if "site" not in given:
            raise AnsibleLookupError(
                "site_certificate: the site has not been worked out yet; apply the role site first"
            )
        return [self._one(str(term), given) for term in terms]

    def _option(self, name: str) -> str:
        # A variable that gives an option arrives as it was written, with its templates.
        return str(self._templar.template(self.get_option(name)))

    def _one(self, component: str, variables: Mapping[str, Any]) -> str:
        site = variables["site"]
        if component == "ca":
            return _read(Path(self._option("ca_file"))) if site["vars"]["tls_enabled"] else ""
        host = self._option("host")
        if component not in site["hosts"][host]["certificates"]:
            return ""
        if self.get_option("part") == "certificate":
            return _read(Path(self._option("directory")) / f"{component}-{host}.crt")
        secrets = lookup_loader.get("airflow_secret", loader=self._loader, templar=self._templar)
        return str(secrets.run([f"certificate_key_{component}_{host}"], variables=variables, kind="private_key")[0])


def _read(path: Path) -> str:
    """Return a file as the lookup `file` does: without the line's end at its end."""
    return path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
