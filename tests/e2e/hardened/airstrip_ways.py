"""A DAG that the tests put among the users' DAGs: where its task can connect to."""

from __future__ import annotations

import socket
import time

from airflow.sdk import DAG, get_current_context, task


@task
def connect() -> list[list[str | float]]:
    """Return what comes of a connection to each address and port, and after how many seconds.

    In lists: the API gives tuples as mappings.
    """
    found: list[list[str | float]] = []
    for address, port in get_current_context()["dag_run"].conf["targets"]:
        began = time.monotonic()
        try:
            socket.create_connection((address, port), timeout=10).close()
        except OSError as error:
            found.append([str(error.strerror or error), time.monotonic() - began])
        else:
            found.append(["open", time.monotonic() - began])
    return found


with DAG(dag_id="airstrip_ways", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):
    connect()
