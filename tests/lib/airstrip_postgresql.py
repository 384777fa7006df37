"""The site's database, as its server's administrator asks it."""

from __future__ import annotations

import shlex
from typing import Any


def sql(host: Any, statement: str, database: str = "airflow") -> str:
    """Return what a statement answers: a line for each row, columns parted by `|`. Raise AssertionError if it fails."""
    options = f"--no-psqlrc --no-align --tuples-only --quiet --dbname={shlex.quote(database)}"
    answer: str = host.check_output(f"cd / && runuser -u postgres -- psql {options} -c {shlex.quote(statement)}")
    return answer.strip()
