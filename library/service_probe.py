#!/usr/bin/python
"""Module: ask services whether they work."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: service_probe
short_description: Ask services whether they work
description:
  - Connects to each address of each service, by TLS if it speaks that, and checks the certificate and its names.
  - Of services with a leader it asks each for a path, which has to answer 200 on one of them.
  - Fails if one does not answer. It changes nothing.
author: Airstrip
options:
  probes:
    description: The services.
    type: list
    elements: dict
    required: true
    suboptions:
      component: {description: Name of the component., type: str, required: true}
      service: {description: Name of the service., type: str, required: true}
      addresses: {description: Addresses at which it is asked., type: list, elements: str, required: true}
      port: {description: Its port., type: int, required: true}
      tls: {description: Whether it speaks TLS., type: bool, default: false}
      leader_path: {description: Path that answers 200 on the leader alone., type: str, default: ""}
      complete: {description: "Whether these are all addresses, so one has to lead.", type: bool, default: false}
  ca_certificate: {description: "Certificates of the authorities that may have signed (PEM).", type: str, default: ""}
  timeout: {description: Seconds for one answer., type: int, default: 5}
attributes:
  check_mode: {support: full, description: It is the same then.}
"""

EXAMPLES = r"""
- name: Ask the peers
  service_probe:
    probes:
      - {component: etcd, service: etcd, addresses: [192.0.2.1, 192.0.2.2], port: 2379, tls: true}
    ca_certificate: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"
"""

RETURN = r"""
rows:
  description: What each answered, with C(component), C(service), C(address), C(health) and C(latency).
  type: list
  elements: dict
  returned: always
lines: {description: The same as text., type: list, elements: str, returned: always}
"""
_OK = 200


def _connect(probe: dict[str, Any], address: str, authority: str, timeout: int) -> socket.socket:
    plain = socket.create_connection((address, probe["port"]), timeout)
    if not probe["tls"]:
        return plain
    context = ssl.create_default_context(cadata=authority or None)
    try:
        return context.wrap_socket(plain, server_hostname=address)
    except OSError:
        plain.close()
        raise


def ask(probe: dict[str, Any], address: str, authority: str, timeout: int) -> str:
    """Return healthy, leader or follower, as the service at an address answers. Raises OSError or HTTPException."""
    with _connect(probe, address, authority, timeout) as connection:
        if not probe["leader_path"]:
            return "healthy"
        client = http.client.HTTPConnection(address, probe["port"])
        client.sock = connection
        client.request("GET", probe["leader_path"])
        return "leader" if client.getresponse().status == _OK else "follower"


def look(probe: dict[str, Any], authority: str, timeout: int) -> tuple[list[dict[str, str]], list[str]]:
    """Return a row for each address of a service, and what is wrong with it."""
    rows, wrong = [], []
    for address in probe["addresses"]:
        start = time.monotonic()
        try:
            health = ask(probe, address, authority, timeout)
        except (OSError, http.client.HTTPException) as error:
            health = "dead"
            wrong.append(
                f"{probe['component']}: {probe['service']} at {address}:{probe['port']} does not answer: {error}"
            )
        row = {"component": probe["component"], "service": probe["service"], "address": address, "health": health}
        rows.append(row | {"latency": f"{time.monotonic() - start:.3f} s"})
    leaders = sum(row["health"] == "leader" for row in rows)
    if probe["leader_path"] and probe["complete"] and not wrong and leaders != 1:
        wrong.append(f"{probe['component']}: {leaders} of {', '.join(probe['addresses'])} lead, and one has to.")
    return rows, wrong


def table(rows: list[dict[str, str]]) -> list[str]:
    """Return the rows as lines, in columns."""
    columns = ("component", "service", "address", "health", "latency")
    widths = [max(len(row[column]) for row in rows) for column in columns] if rows else []
    return [
        "  ".join(row[column].ljust(width) for column, width in zip(columns, widths, strict=True)).rstrip()
        for row in rows
    ]


def main() -> None:
    """Run the module."""
    spec = {
        "component": {"type": "str", "required": True},
        "service": {"type": "str", "required": True},
        "addresses": {"type": "list", "elements": "str", "required": True},
        "port": {"type": "int", "required": True},
        "tls": {"type": "bool", "default": False},
        "leader_path": {"type": "str", "default": ""},
        "complete": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "probes": {"type": "list", "elements": "dict", "required": True, "options": spec},
            "ca_certificate": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    found = [
        look(probe, module.params["ca_certificate"], module.params["timeout"]) for probe in module.params["probes"]
    ]
    rows = [row for some, _ in found for row in some]
    if wrong := [line for _, lines in found for line in lines]:
        module.fail_json(msg="\n".join(wrong), rows=rows, lines=table(rows))
    module.exit_json(changed=False, rows=rows, lines=table(rows))


if __name__ == "__main__":
    main()
