"""Write a dump of the metadata database of Airflow 2 or 3, in PostgreSQL's custom format, to standard output.

Runs as look.py does, as the installation's user. What leads to the database stays there: pg_dump has it from Airflow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# Not in the connection string: by them, Debian's wrapper chooses the version of pg_dump.
OPTIONS = ("host", "port", "username")


def quoted(parameters: Mapping[str, Any]) -> str:
    """Return a connection string of libpq: `{'dbname': 'a b'}` gives `dbname='a b'`."""
    values = {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in parameters.items()}
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()}
    return " ".join(f"{name}='{value}'" for name, value in escaped.items())


def command(url: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the command for the parts of an URL, and its environment, which only this user and root can read."""
    rest = {name: value for name, value in url.items() if name not in (*OPTIONS, "password", "database")}
    password = url.get("password")
    given = [f"--{name}={url[name]}" for name in OPTIONS if url.get(name)]
    database = quoted({"dbname": url["database"], **rest})
    return (
        ["pg_dump", "--format=custom", "--no-password", *given, f"--dbname={database}"],
        {"PGPASSWORD": str(password)} if password else {},
    )


def main() -> None:
    """Become pg_dump."""
    # Airflow and its plugins may print when they are imported.
    output = os.dup(1)
    os.dup2(2, 1)
    from airflow.configuration import conf  # noqa: PLC0415 after the standard output is out of its reach
    from sqlalchemy.engine import make_url  # noqa: PLC0415 in the old installation's environment only

    url = make_url(conf.get("database", "sql_alchemy_conn"))
    arguments, environment = command({**url.query, **url.translate_connect_args()})
    os.dup2(output, 1)
    os.execvpe(arguments[0], arguments, {**os.environ, **environment})  # noqa: S606 there is nothing to quote


if __name__ == "__main__":
    main()
