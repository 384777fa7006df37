#!/usr/bin/python
"""Module: ask the servers by which people are to log in."""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.ldap_question import Directory, RefusedError

DOCUMENTATION = r"""
module: identity_look
short_description: Ask the servers by which people are to log in
description:
  - Of a directory, whether it answers by TLS with a certificate that can be trusted, lets the user in with whom Airflow
    looks for people, and shows him where they are and their groups. Of an OpenID provider, whether it answers with its
    metadata.
  - It changes nothing, and never fails. What was wrong stands in RV(ldap) and RV(oauth).
author: Airstrip
options:
  servers: {description: URLs of directories., type: list, elements: str, default: []}
  start_tls: {description: Whether they are asked for TLS., type: bool, default: false}
  user: {description: DN of the user., type: str, default: ""}
  password: {description: Password of the user., type: str, default: ""}
  search_base: {description: DN of the object below which people are., type: str, default: ""}
  groups: {description: DNs of groups., type: list, elements: str, default: []}
  providers: {description: URLs of the metadata of OpenID providers by their names., type: dict, default: {}}
  proxies: {description: "Proxies for them, by the names C(http_proxy), C(https_proxy) and C(no_proxy).", type: dict,
    default: {}}
  ca_path: {description: File of the authorities that are trusted., type: path, required: true}
  authorities:
    description: Certificates (PEM) by the files which this run is going to put them into.
    type: dict
    default: {}
  timeout: {description: Seconds for one answer., type: int, default: 5}
attributes:
  check_mode: {support: full, description: It is the same then.}
"""

EXAMPLES = r"""
- name: Ask the directory
  identity_look:
    servers: [ldaps://ldap.example.com]
    user: cn=airflow,dc=example,dc=com
    password: "{{ vault_ldap_password }}"
    search_base: ou=people,dc=example,dc=com
    groups: [cn=admins,ou=groups,dc=example,dc=com]
    ca_path: /etc/ssl/certs/ca-certificates.crt
"""

RETURN = r"""
ldap:
  description: For each directory its C(url), C(error) (empty if all is well), C(stage) of it (C(connection), C(tls),
    C(login) or C(search)), and C(groups), the name of each as it writes it, or an empty text.
  type: list
  returned: always
oauth:
  description: For each provider its C(name), C(url), C(error), and the C(metadata).
  type: list
  returned: always
"""
_LONGEST = 1_000_000


def trusting(ca_path: str, authorities: dict[str, str]) -> ssl.SSLContext:
    """Return what trusts the authorities of a file, and those that a run is going to put into it."""
    context = ssl.create_default_context(cafile=ca_path if Path(ca_path).exists() else None)
    for text in filter(None, authorities.values()):
        context.load_verify_locations(cadata=text)
    return context


def ask_directory(url: str, wanted: dict[str, Any], context: ssl.SSLContext) -> dict[str, Any]:
    """Return what a directory says."""
    found: dict[str, Any] = {"url": url, "stage": "connection", "error": "", "groups": {}}
    directory = None
    try:
        directory = Directory(url, wanted["timeout"])
        found["stage"] = "tls"
        if wanted["start_tls"]:
            directory.start_tls(context)
        elif url.startswith("ldaps:"):
            directory.speak_tls(context)
        found["stage"] = "login"
        directory.login(wanted["user"], wanted["password"])
        found["stage"] = "search"
        if not directory.name(wanted["search_base"]):
            raise RefusedError(f"there is no {wanted['search_base']}, or the user may not see it")
        found["groups"] = {group: directory.name(group) for group in wanted["groups"]}
    except (OSError, RefusedError, ValueError) as error:
        found["error"] = str(error) or type(error).__name__
    finally:
        if directory:
            directory.close()
    return found


def ask_provider(name: str, url: str, wanted: dict[str, Any], context: ssl.SSLContext) -> dict[str, Any]:
    """Return the metadata of an OpenID provider."""
    found: dict[str, Any] = {"name": name, "url": url, "error": "", "metadata": {}}
    # Of this process alone, from which urllib takes them.
    os.environ.update({kind: str(value) for kind, value in wanted["proxies"].items()})
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=wanted["timeout"]) as answer:
            metadata = json.loads(answer.read(_LONGEST))
        found["metadata"] = metadata if isinstance(metadata, dict) else {}
    except (OSError, ValueError) as error:
        found["error"] = str(error) or type(error).__name__
    return found


def look(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what the module does."""
    context = trusting(wanted["ca_path"], wanted["authorities"])
    return {
        "ldap": [ask_directory(url, wanted, context) for url in wanted["servers"]],
        "oauth": [ask_provider(name, str(url), wanted, context) for name, url in wanted["providers"].items()],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "list", "elements": "str", "default": []},
            "start_tls": {"type": "bool", "default": False},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "search_base": {"type": "str", "default": ""},
            "groups": {"type": "list", "elements": "str", "default": []},
            "providers": {"type": "dict", "default": {}},
            "proxies": {"type": "dict", "default": {}, "no_log": True},
            "ca_path": {"type": "path", "required": True},
            "authorities": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(module.params))


if __name__ == "__main__":
    main()
