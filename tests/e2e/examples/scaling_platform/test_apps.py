"""The workers of Camunda, Zeebe and Node.js do their work, for servers that they reach by TLS and by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

UNITS = {"worker-1": ["camunda@1", "zeebe@1"], "worker-2": ["queue@1", "nodejs@1"]}
ENGINE, GATEWAY, NODEJS = "http://127.0.0.1:8100", "http://127.0.0.1:8120", "http://worker-2:8140"
# Puts tasks into the engine, waits until they have ended, and prints who has done how many, and how they ended.
FLOOD = """
import collections, json, sys, time, urllib.request
def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(sys.argv[1] + path, data=data), timeout=30) as answer:
        return json.load(answer)
names = [ask("/test/tasks", {"topicName": "score-order", "variables": {"amount": number}})["id"]
         for number in range(int(sys.argv[2]))]
limit, rows = time.monotonic() + 400, []
for name in names:
    while (row := ask("/test/tasks/" + name))["state"] == "waiting" and time.monotonic() < limit:
        time.sleep(1)
    rows.append(row)
print(json.dumps({"workers": collections.Counter(row.get("workerId") for row in rows),
                  "states": collections.Counter(row["state"] for row in rows)}))
"""


@pytest.mark.parametrize("name", UNITS)
def test_each_worker_runs_where_it_is_placed(hosts: dict[str, Any], name: str) -> None:
    listed = hosts[name].check_output("systemctl list-units --plain --no-legend --state=active 'app-worker-*'")
    found = {line.split()[0] for line in listed.splitlines()}
    assert {f"app-worker-{unit}.service" for unit in UNITS[name]} <= found
    other = [unit for host, units in UNITS.items() if host != name for unit in units]
    assert not {f"app-worker-{unit}.service" for unit in other} & found


@pytest.mark.parametrize(
    ("variables", "state", "expected"),
    [
        ({"amount": 250}, "completed", {"score": 0.25, "by_hand": False}),
        ({"amount": 5000}, "completed", {"score": 1.0, "by_hand": True}),
        ({"colour": "red"}, "error", {}),
    ],
)
def test_the_worker_of_camunda_scores_orders(
    ask: Any, wait_until: Callable[..., Any], variables: dict[str, Any], state: str, expected: dict[str, Any]
) -> None:
    task = {"topicName": "score-order", "variables": variables}
    name = ask("services-1", "POST", f"{ENGINE}/test/tasks", task)["id"]
    row = wait_until(
        lambda: ask("services-1", "GET", f"{ENGINE}/test/tasks/{name}"), lambda row: row["state"] != "waiting", 60
    )
    assert row["state"] == state
    assert {key: value["value"] for key, value in row["said"].get("variables", {}).items()} == expected


def test_the_worker_of_zeebe_reserves_stock(ask: Any, wait_until: Callable[..., Any]) -> None:
    job = {"type": "reserve-stock", "variables": {"order": "A-7", "pieces": 3}}
    key = ask("services-1", "POST", f"{GATEWAY}/jobs", job)["key"]
    row = wait_until(
        lambda: ask("services-1", "GET", f"{GATEWAY}/jobs/{key}"), lambda row: row["state"] == "completed", 60
    )
    assert row["result"] == {"reservation": "A-7-3", "pieces": 3}


def test_the_worker_of_node_js_takes_jobs_from_the_other_host(ask: Any, wait_until: Callable[..., Any]) -> None:
    name = ask("worker-1", "POST", f"{NODEJS}/jobs", {"text": "one two three"})["id"]
    row = wait_until(
        lambda: ask("worker-1", "GET", f"{NODEJS}/jobs/{name}"), lambda row: row["state"] == "completed", 60
    )
    assert row["result"] == {"words": 3}


def test_jobs_are_not_in_airflow_s_broker(site: Any, hosts: dict[str, Any]) -> None:
    file = "/etc/airstrip/app-worker/queue/queue_password"
    kept = hosts["worker-2"].check_output(f'REDISCLI_AUTH="$(cat {file})" redis-cli -p 6379 KEYS "bull:*" | wc -l')
    assert int(kept) > 0
    assert site.group("redis") == ["control-1"]
    assert hosts["control-1"].package("nodejs").is_installed is False


def test_camunda_s_workers_become_five(hosts: dict[str, Any], services: Any, wait_until: Callable[..., Any]) -> None:
    def running() -> int:
        units = "systemctl list-units --plain --no-legend --state=active 'app-worker-camunda@*'"
        return len(hosts["worker-1"].check_output(units).splitlines())

    def ended(tasks: int) -> Any:
        return json.loads(services.check_output("python3 -c %s %s %s", FLOOD, ENGINE, str(tasks)))

    before = running()
    assert 1 <= before <= 5
    assert ended(1500)["states"] == {"completed": 1500}
    wait_until(running, lambda count: count == 5, 180)
    # All of them do their part of what comes then.
    found = ended(500)
    assert found["states"] == {"completed": 500}
    assert len(found["workers"]) == 5
