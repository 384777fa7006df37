"""Whatever the variables of a site are, there is a model: their checks, which say what is wrong, need one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airstrip_imagined import PLACED, imagined
from ansible_collections.airstrip.core.plugins.module_utils.site_checks import problems
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact

HOSTS = PLACED | {"app_worker": ["apps1"], "monitoring": ["monitor"]}
JUNK: tuple[Any, ...] = (None, -1, True, "", "x", [1], {"a": 1})
APP: dict[str, Any] = {
    "name": "etl", "command": ["python", "work.py"], "runtime": "python", "source": "/srv/etl", "hosts": ["apps1"],
    "port": 8011, "clients": ["airflow_worker"], "health": {"http": "/", "seconds": 20}, "metrics": {"path": "/m"},
    "environment": {"A": "1"}, "credentials": {"a": "b"}, "resources": {"MemoryMax": "1G"},
    "unit_options": {"Nice": 1}, "scale": {"series": "waiting", "min": 1, "max": 6, "target": 10},
}  # fmt: skip
WORKER: dict[str, Any] = {
    "name": "a", "queues": ["a"], "concurrency": 2, "arguments": ["-x"], "unit_options": {"Nice": 1},
    "scale": {"min": 1, "max": 4, "target": 2, "longest_task_seconds": 3, "down": {"percent": 50}, "per_host": 2},
}  # fmt: skip
AUTOSCALED: dict[str, Any] = {"name": "a", "queues": ["a"], "autoscale": {"min": 1, "max": 2}}
TARGET: dict[str, Any] = {"name": "a", "type": "loki", "url": "https://l.example:3100", "labels": {"a": "b"}}
CLIENT: dict[str, Any] = {"database": "a", "user": "b", "address": "192.0.2.1"}
LISTS = [("app_workers", APP), ("workers", WORKER), ("workers", AUTOSCALED), ("log_targets", TARGET)]
LISTS += [("database_extra_clients", CLIENT)]


def malformed(entry: dict[str, Any]) -> Iterator[Any]:
    """Yield an entry with something else for each of its keys, without each of them, and what is no entry."""
    yield from JUNK
    for key, value in entry.items():
        yield {name: own for name, own in entry.items() if name != key}
        yield from (entry | {key: junk} for junk in JUNK)
        if isinstance(value, dict):
            yield from (entry | {key: part} for part in malformed(value) if isinstance(part, dict))


@pytest.mark.parametrize(("variable", "entry"), LISTS, ids=lambda value: value if isinstance(value, str) else "entry")
def test_no_entry_of_a_list_keeps_the_model_from_being_worked_out(variable: str, entry: dict[str, Any]) -> None:
    for given in malformed(entry):
        found = imagined(HOSTS, tls_enabled=True, **{variable: [given]})
        assert isinstance(problems(found), list)
        assert fact(found)["hosts"], given
