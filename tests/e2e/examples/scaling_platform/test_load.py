"""Workers come with the load and go again, panels show it, and somebody is told when tasks fail.

One test goes on where the one before has ended: what takes minutes runs once.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_grafana import Times, asked, dashboards, filled, variables
from airstrip_prometheus import Prometheus

LEAST, MOST, SLOTS, PARALLELISM = 2, 10, 16, 64
TASKS = 64
UNITS = "systemctl list-units --plain --no-legend --state=active '{}'"
# `stabilization`, as many steps down as from ten to two, and a look for each.
DOWN = 300 + 3 * 60 + 120
# Reads the mails that the company's server has got, and prints for whom, of what and with what text each is.
MAILS = """
import email, email.policy, json, pathlib
found = []
for path in sorted(pathlib.Path("/var/lib/company-mail/box/new").glob("*")):
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    text = message.get_body(("plain", "html")).get_content()
    found.append({"to": message["To"], "subject": message["Subject"], "text": text})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def running(hosts: dict[str, Any]) -> Callable[[], int]:
    """Count the instances of the set `etl`."""

    def count() -> int:
        texts = [hosts[name].check_output(UNITS.format("airflow-worker@etl-*")) for name in ("worker-1", "worker-2")]
        return sum(len(text.splitlines()) for text in texts)

    return count


@pytest.fixture(scope="module")
def failures(airflow: Airflow) -> tuple[str, float]:
    """Start tasks that fail, one each three seconds; which run it is, and since when."""
    return airflow.start_new("queue_failures", tasks=140, seconds=20), time.monotonic()


def moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def at_once(tasks: list[dict[str, Any]]) -> int:
    """Return how many tasks ran at one moment."""
    ends = [(moment(task["start_date"]), 1) for task in tasks] + [(moment(task["end_date"]), -1) for task in tasks]
    return max(itertools.accumulate(change for _, change in sorted(ends)))


def test_workers_come_with_the_load(
    airflow: Airflow, start: Callable[..., str], running: Callable[[], int], wait_until: Callable[..., Any]
) -> None:
    wait_until(running, lambda count: count == LEAST, DOWN)
    run, seen = start("queue_load", '{"tasks": 64, "seconds": 90}'), [LEAST]
    limit = time.monotonic() + 600
    while airflow.state("queue_load", run) not in ("success", "failed"):
        assert time.monotonic() < limit, seen
        seen.append(running())
        time.sleep(3)
    tasks = [task for task in airflow.tasks("queue_load", run) if task["task_id"] == "wait"]
    assert {(task["state"], task["try_number"]) for task in tasks} == {("success", 1)}
    assert len(tasks) == TASKS
    most = at_once(tasks)
    print(f"up to {max(seen)} workers; up to {most} tasks at once")  # noqa: T201
    # Half of the tasks wait for slots of the two: ten for each new one.
    assert 4 <= max(seen) <= MOST
    assert LEAST * SLOTS < most <= PARALLELISM


@pytest.mark.usefixtures("failures")
def test_panels_of_the_workers_have_data(prometheus: Prometheus, wait_until: Callable[..., Any]) -> None:
    board = dashboards()["workers"]
    queries = list(asked("workers", board))
    given = Times(1800, 15, prometheus.scrape_seconds)

    def empty() -> list[str]:
        texts = {query.place: filled(query.expression, variables(board), given) for query in queries}
        return [place for place, text in texts.items() if not prometheus.over(text, given)]

    assert len(queries) > 10
    # Rates of failures are there once some have failed.
    wait_until(empty, lambda places: not places, 240)


@pytest.mark.parametrize(
    "series",
    [
        'celery_queue_length{queue="etl"}',
        'worker_tasks_processed_total{queue="etl"} > 64',
        'worker_task_failures_total{queue="light"} > 0',
        'histogram_quantile(0.95, sum by (le) (worker_task_duration_seconds_bucket{queue="etl"})) > 60',
        'sum(worker_tasks_processed_total{job="app_camunda"}) > 0',
        'bull_jobs_total{job="app_nodejs",state="completed"} > 0',
        'airflow_pool_slots{pool="etl_pool"} == 24',
        'airflow_pool_slots{pool="dq_pool"} == 8',
    ],
)
@pytest.mark.usefixtures("failures")
def test_series_have_their_names(prometheus: Prometheus, wait_until: Callable[..., Any], series: str) -> None:
    wait_until(lambda: prometheus.at_once(series), bool, 180)


@pytest.mark.usefixtures("failures")
def test_workers_go_again(hosts: dict[str, Any], running: Callable[[], int], wait_until: Callable[..., Any]) -> None:
    wait_until(running, lambda count: count == LEAST, DOWN)
    camunda = UNITS.format("app-worker-camunda@*")
    wait_until(lambda: len(hosts["worker-1"].check_output(camunda).splitlines()), lambda count: count == 1, DOWN)


def test_somebody_is_told_by_mail_that_tasks_fail(
    failures: tuple[str, float], services: Any, wait_until: Callable[..., Any]
) -> None:
    """After five minutes of more than one failure in ten seconds."""

    def mails() -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(services.check_output("python3 -c %s", MAILS))
        return [mail for mail in found if "HighWorkerFailureRate" in mail["text"]]

    _, since = failures
    mail = wait_until(mails, bool, max(60, since + 900 - time.monotonic()))[0]
    assert mail["to"] == "platform@example.com"
    assert "FIRING" in mail["subject"]
    assert "light" in mail["text"]
    # Its queue, and no other one.
    assert "tasks of the queue etl fail" not in mail["text"]
