"""The dashboards for Grafana, from which bin/dashboards makes roles/grafana/files/dashboards and a page of docs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from airstrip_dashboards import (
    api,
    broker,
    costs,
    database,
    errors,
    flows,
    hosts,
    pools,
    scheduler,
    site,
    workers,
)

# In the order of the documentation.
BOARDS: dict[str, Callable[[], Dashboard]] = {
    "site": site.build,
    "workers": workers.build,
    "flows": flows.build,
    "errors": errors.build,
    "scheduler": scheduler.build,
    "pools": pools.build,
    "api": api.build,
    "database": database.build,
    "broker": broker.build,
    "hosts": hosts.build,
    "costs": costs.build,
}


def made(name: str) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    board = BOARDS[name]().build()
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    found: dict[str, Any] = json.loads(JSONEncoder().encode(board))
    return found


def text(name: str) -> str:
    """Return a dashboard as its file has it."""
    return json.dumps(made(name), indent=2, sort_keys=True) + "\n"
