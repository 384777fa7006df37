#!/usr/bin/python
"""Module: log in to a Vault or an OpenBao, as Airflow would, and look for what it is to have."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: secrets_backend_login
short_description: Log in to a Vault or an OpenBao as Airflow would
description:
  - Logs in, and reads the connections and variables that are required to be there. A host that Airflow is not installed
    on has no client of Vault yet.
  - It changes nothing, and never fails. RV(msg) says what was wrong. No value leaves the host.
author: Airstrip
options:
  backend: {description: "The variable C(airflow_secrets_backend).", type: dict, required: true}
  secret: {description: That of the login., type: str, required: true}
  ca_file: {description: "File with the authorities, where the backend names none.", type: path, required: true}
  authorities:
    description: Certificates (PEM) by the files which this run is going to put them into.
    type: dict
    default: {}
  timeout: {description: Seconds for one answer., type: int, default: 5}
attributes:
  check_mode: {support: full, description: It is the same then.}
"""

EXAMPLES = r"""
- name: Log in as Airflow does
  secrets_backend_login:
    backend: {type: openbao, url: "https://bao.example.com:8200", auth_type: approle, role_id: airflow}
    secret: "{{ vault_airflow_secrets_backend_secret }}"
    ca_file: /etc/ssl/certs/ca-certificates.crt
"""

RETURN = r"""
msg: {description: "What was wrong, as server or system say it; or empty.", type: str, returned: always}
"""
_LONGEST = 1048576
# Where a user stands: in the path, or in the body.
_PASSWORDS = ("userpass", "ldap")
_BASES = {"connections": "connections_path", "variables": "variables_path"}


class RefusedError(Exception):
    """What a server says instead of an answer, and its status."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A login goes to the server that was named, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """A client of Vault's API."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.backend, self.timeout = wanted["backend"], wanted["timeout"]
        handler = urllib.request.HTTPSHandler(context=_context(wanted))
        self.opener = urllib.request.build_opener(handler, _NoRedirect())
        self.headers = {"X-Vault-Request": "true"}
        if self.backend.get("namespace"):
            self.headers["X-Vault-Namespace"] = str(self.backend["namespace"])

    def ask(self, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        """Return an answer. Raises RefusedError, OSError and ValueError."""
        url = f"{str(self.backend['url']).rstrip('/')}/v1/{quote(path)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self.headers)  # noqa: S310 - preflight has seen that it is http
        try:
            with self.opener.open(request, timeout=self.timeout) as answer:
                found: dict[str, Any] = json.loads(answer.read(_LONGEST))
        except urllib.error.HTTPError as error:
            raise RefusedError(error.code, _said(error)) from None
        return found

    def login(self, secret: str) -> None:
        """Log in as the backend says."""
        method = str(self.backend.get("auth_type", "token"))
        if method == "token":
            self.headers["X-Vault-Token"] = secret
            self.ask("auth/token/lookup-self")
            return
        mount = self.backend.get("auth_mount_point") or method
        if method in _PASSWORDS:
            found = self.ask(f"auth/{mount}/login/{self.backend['username']}", {"password": secret})
        else:
            found = self.ask(f"auth/{mount}/login", {"role_id": str(self.backend["role_id"]), "secret_id": secret})
        self.headers["X-Vault-Token"] = str(found["auth"]["client_token"])

    def lacks(self, kind: str, name: str) -> str:
        """Say what is wrong with a required connection or variable; nothing if it is there."""
        bases = self.backend.get(_BASES[kind], kind)
        paths = [f"{str(base).rstrip('/')}/{name}" for base in ([bases] if isinstance(bases, str) else bases or [])]
        data = "data/" if int(self.backend.get("kv_engine_version", 2)) == 2 else ""
        mount = self.backend.get("mount_point", "secret")
        for path in paths:
            try:
                self.ask(f"{mount}/{data}{path}")
            except RefusedError as refused:
                if refused.status != http.HTTPStatus.NOT_FOUND:
                    return f"{path} of {mount} is refused: {refused}"
            else:
                return ""
        return f"there is no {' and no '.join(paths) or kind} in {mount}"


def _said(error: urllib.error.HTTPError) -> str:
    try:
        words = json.loads(error.read(_LONGEST)).get("errors") or []
    except (AttributeError, OSError, ValueError):
        words = []
    return " ".join(" ".join(map(str, words)).split())[:300] or f"HTTP {error.code}"


def _context(wanted: dict[str, Any]) -> ssl.SSLContext:
    """Return what a connection is to trust, with what a file is going to have."""
    file = str(wanted["backend"].get("ca_file") or wanted["ca_file"])
    new = wanted["authorities"].get(file)
    # What a run is going to make has the system's authorities, too.
    context = ssl.create_default_context(cafile=file if Path(file).exists() or not new else None)
    if new:
        context.load_verify_locations(cadata=new)
    return context


def look(wanted: dict[str, Any]) -> list[str]:
    """Return what is wrong."""
    backend = wanted["backend"]
    try:
        client = Client(wanted)
        client.login(wanted["secret"])
        required = [(kind, str(name)) for kind in _BASES for name in backend.get(f"required_{kind}") or []]
        return [problem for kind, name in required if (problem := client.lacks(kind, name))]
    except RefusedError as refused:
        return [f"the login is refused: {refused}"]
    except FileNotFoundError:
        return ["the file of its authority is not there"]
    except (OSError, KeyError, TypeError, ValueError, http.client.HTTPException) as error:
        return [f"it does not answer: {type(error).__name__}: {error}"]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "backend": {"type": "dict", "required": True},
            "secret": {"type": "str", "required": True, "no_log": True},
            "ca_file": {"type": "path", "required": True},
            "authorities": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, msg="; ".join(look(module.params)))


if __name__ == "__main__":
    main()
