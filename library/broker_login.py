#!/usr/bin/python
"""Module: log in to a Redis, as Celery would."""

from __future__ import annotations

import io
import socket
import ssl
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: broker_login
short_description: Log in to a Redis as Celery would
description:
  - Connects, by TLS if that is wanted, logs in (C(AUTH)), selects the database and asks for an answer (C(PING)). A host
    that Airflow is not installed on has no client of Redis yet.
  - It changes nothing, and never fails. RV(error) says what was wrong.
author: Airstrip
options:
  host: {description: Name or address of the server., type: str, required: true}
  port: {description: Its port., type: int, required: true}
  user: {description: "User; empty for a server that knows a password alone.", type: str, default: ""}
  password: {description: "Password; empty for none.", type: str, default: ""}
  database: {description: Number of the database., type: int, default: 0}
  tls: {description: Whether it speaks TLS., type: bool, default: false}
  options:
    description: "Parameters of the broker's URI, as Celery takes them, of which those that begin with C(ssl_) count."
    type: dict
    default: {}
  authorities:
    description: Certificates (PEM) by the files which this run is going to put them into.
    type: dict
    default: {}
  timeout: {description: Seconds for one answer., type: int, default: 5}
attributes:
  check_mode: {support: full, description: It is the same then.}
"""

EXAMPLES = r"""
- name: Log in to the broker
  broker_login:
    host: broker.example.com
    port: 6379
    user: airflow
    password: "{{ vault_broker_password }}"
    tls: true
    options: {ssl_ca_certs: /etc/ssl/certs/ca-certificates.crt}
"""

RETURN = r"""
error: {description: "What was wrong, as server or system say it; or empty.", type: str, returned: always}
stage: {description: "Where: C(connection), C(tls) or C(login), or empty.", type: str, returned: always}
mode: {description: "C(standalone), C(sentinel), C(cluster), or empty if it does not say.", type: str, returned: always}
role: {description: "C(master), C(slave), or empty if it does not say.", type: str, returned: always}
"""
_LONGEST = 65536
_REQUIREMENTS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class RefusedError(Exception):
    """What a server says instead of an answer."""


def _context(options: dict[str, Any], authorities: dict[str, str]) -> ssl.SSLContext:
    """Return what redis-py makes of the options, with those authorities that a file is going to have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    wanted = str(options.get("ssl_cert_reqs", "required")).lower().removeprefix("cert_")
    context.check_hostname = wanted != "none" and str(options.get("ssl_check_hostname", True)).lower() != "false"
    context.verify_mode = _REQUIREMENTS[wanted]
    file = str(options.get("ssl_ca_certs", ""))
    # What a run is going to make has the system's authorities, too, or none of them is asked for.
    if not file or (authorities.get(file) and not Path(file).exists()):
        context.load_default_certs()
    else:
        context.load_verify_locations(cafile=file)
    if authorities.get(file):
        context.load_verify_locations(cadata=authorities[file])
    if options.get("ssl_certfile"):
        context.load_cert_chain(str(options["ssl_certfile"]), options.get("ssl_keyfile"))
    return context


def command(stream: io.BufferedRWPair, *words: str) -> str:
    """Send a command by Redis' protocol (RESP2) and return the answer. Raises RefusedError and OSError."""
    raw = [word.encode() for word in words]
    stream.write(b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw))
    stream.flush()
    line = stream.readline(_LONGEST)
    kind, text = line[:1], line[1:].decode(errors="replace").strip()
    if kind == b"-":
        raise RefusedError(text)
    if kind == b"$" and text.isdecimal():
        return stream.read(min(int(text), _LONGEST) + 2).decode(errors="replace")
    if kind != b"+":
        raise RefusedError("it closes the connection" if not line else "it does not answer as a Redis does")
    return text


def _facts(stream: io.BufferedRWPair) -> dict[str, str]:
    """Return what a server says of itself; nothing if the user may not ask."""
    try:
        lines = command(stream, "INFO", "server").splitlines() + command(stream, "INFO", "replication").splitlines()
    except RefusedError as refused:
        if not str(refused).startswith(("NOPERM", "ERR")):
            raise
        return {}
    return dict(line.split(":", 1) for line in lines if ":" in line)


def login(stream: io.BufferedRWPair, wanted: dict[str, Any]) -> dict[str, str]:
    """Log in as redis-py does, and return what the server says of itself. Raises RefusedError and OSError."""
    user, password = wanted["user"], wanted["password"]
    if user or password:
        command(stream, "AUTH", *([user] if user else []), password)
    facts = _facts(stream)
    # Others have no numbers of databases.
    if wanted["database"] and facts.get("redis_mode", "standalone") == "standalone":
        command(stream, "SELECT", str(wanted["database"]))
    command(stream, "PING")
    return facts


def look(wanted: dict[str, Any]) -> dict[str, str]:
    """Return what the module does."""
    stage, facts, error = "connection", {}, ""
    try:
        with socket.create_connection((wanted["host"], wanted["port"]), wanted["timeout"]) as plain:
            stage, connection = "tls", plain
            if wanted["tls"]:
                context = _context(wanted["options"], wanted["authorities"])
                connection = context.wrap_socket(plain, server_hostname=wanted["host"])
            stage = "login"
            with connection, connection.makefile("rwb") as stream:
                facts = login(stream, wanted)
            stage = ""
    except RefusedError as refused:
        error = str(refused)
    except FileNotFoundError:
        error = "a file in the options is not there"
    except (OSError, KeyError, ValueError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return {"error": error, "stage": stage, "mode": facts.get("redis_mode", ""), "role": facts.get("role", "")}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "database": {"type": "int", "default": 0},
            "tls": {"type": "bool", "default": False},
            "options": {"type": "dict", "default": {}},
            "authorities": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(module.params))


if __name__ == "__main__":
    main()
