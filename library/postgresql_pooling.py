#!/usr/bin/python
"""Module: whether something gives each transaction of a PostgreSQL another session."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import psycopg2

    HAS_PSYCOPG2 = True
except ImportError:
    HAS_PSYCOPG2 = False

DOCUMENTATION = r"""
module: postgresql_pooling
short_description: Tell whether transactions of a PostgreSQL are pooled
description:
  - Opens two connections, and asks in each for the process that serves it. A server has one for each connection as long
    as that lasts. PgBouncer and its like, where they pool transactions, have not.
  - It changes nothing, and never fails for what the server does.
author: Airstrip
requirements: [psycopg2]
options:
  host: {description: Name or address of the server., type: str, required: true}
  port: {description: Its port., type: int, required: true}
  user: {description: User., type: str, required: true}
  password: {description: Password., type: str, required: true}
  database: {description: Name of the database., type: str, required: true}
  options: {description: "Parameters of the connection, as libpq takes them.", type: dict, default: {}}
attributes:
  check_mode: {support: full, description: It is the same then.}
"""

EXAMPLES = r"""
- name: Ask whether transactions are pooled
  postgresql_pooling:
    host: db.example.com
    port: 5432
    user: airflow
    password: "{{ vault_database_password }}"
    database: airflow
"""

RETURN = r"""
pooled: {description: Whether they are; false where nobody answers., type: bool, returned: always}
"""
_ROUNDS = 3


def is_pooled(first: Any, second: Any) -> bool:
    """Tell whether two connections share a process, or whether one changes it."""
    seen: tuple[set[int], set[int]] = (set(), set())
    for _ in range(_ROUNDS):
        for connection, pids in zip((first, second), seen, strict=True):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                pids.add(cursor.fetchone()[0])
    return bool(seen[0] & seen[1]) or max(map(len, seen)) > 1


def look(wanted: dict[str, Any]) -> bool:
    """Return what the module does."""
    login = {name: wanted[name] for name in ("host", "port", "user", "password")}
    parameters = login | {"dbname": wanted["database"]} | {key: str(value) for key, value in wanted["options"].items()}
    try:
        with closing(psycopg2.connect(**parameters)) as first, closing(psycopg2.connect(**parameters)) as second:
            # Each query is a transaction.
            first.autocommit = second.autocommit = True
            return is_pooled(first, second)
    except psycopg2.Error:
        return False


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "database": {"type": "str", "required": True},
            "options": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if not HAS_PSYCOPG2:
        module.fail_json(msg=missing_required_lib("psycopg2"))
    module.exit_json(changed=False, pooled=look(module.params))


if __name__ == "__main__":
    main()
