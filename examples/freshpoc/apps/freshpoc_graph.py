"""The graph's database, as a service's own role."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from freshpoc_service import secret
from psycopg2.extensions import cursor


@contextmanager
def transaction() -> Iterator[cursor]:
    """Give a cursor whose work counts if the block ends, and not if it raises."""
    connection = psycopg2.connect(
        host=os.environ.get("GRAPH_HOST", "127.0.0.1"),
        dbname="graph",
        user=os.environ["GRAPH_USER"],
        password=secret("graph_password"),
        connect_timeout=5,
    )
    try:
        with connection, connection.cursor() as found:
            yield found
    finally:
        connection.close()
