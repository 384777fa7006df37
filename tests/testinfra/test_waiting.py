"""What becomes of tasks that wait for a slot, of those whose message is lost, and of those that nobody takes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_units import properties

pytestmark = [pytest.mark.only_in("single_node"), pytest.mark.usefixtures("probe_dags")]
WORKER = "airflow-worker@default"
SLOTS, TASKS, SECONDS = 4, 40, 6
DROP_IN = "/run/systemd/system/airflow-scheduler.service.d/airstrip-test.conf"
BROKER = "import redis; broker = redis.Redis.from_url(open('/etc/airflow/credentials/broker_url').read()); "


@pytest.fixture
def few_slots(host: Any) -> Iterator[None]:
    """Leave the worker four slots, and let the scheduler judge what is queued every other second."""
    slots = int(re.findall(r"--concurrency (\d+)", properties(host, WORKER, "ExecStart")["ExecStart"])[0])
    host.check_output(f"airflow-celery control pool_shrink {slots - SLOTS}")
    restart = "systemctl daemon-reload && systemctl restart airflow-scheduler"
    setting = "Environment=AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL=2"
    host.check_output(f"mkdir -p $(dirname {DROP_IN}) && printf '[Service]\\n{setting}\\n' >{DROP_IN} && {restart}")
    yield
    host.check_output(f"rm {DROP_IN} && {restart} && airflow-celery control pool_grow {slots - SLOTS}")


def states(airflow: Airflow, run: str) -> Counter[str]:
    return Counter(str(task["state"]) for task in airflow.tasks("airstrip_crowd", run) if task["task_id"] == "hold")


def verdicts(airflow: Airflow, dag_id: str, run: str) -> list[dict[str, Any]]:
    """Return what a scheduler has logged about a run's tasks that did not start."""
    found = airflow.request("GET", "/api/v2/eventLogs", dag_id=dag_id, run_id=run, limit="200")["event_logs"]
    return [event for event in found if re.match("message lost|state mismatch|stuck in queued", event["event"])]


@pytest.mark.usefixtures("few_slots")
def test_only_a_task_whose_message_is_lost_is_queued_again(host: Any, airflow: Airflow) -> None:
    crowd = airflow.start("airstrip_crowd", tasks=TASKS, seconds=SECONDS)
    misspelt = airflow.start("airstrip_misspelt")
    limit = time.monotonic() + 120
    while states(airflow, crowd)["running"] < SLOTS or airflow.tasks("airstrip_misspelt", misspelt)[0]["state"] is None:
        assert time.monotonic() < limit, states(airflow, crowd)
        time.sleep(0.5)
    # The youngest two of the queue, and an hour of waiting for all.
    host.check_output(f"/opt/airflow/current/bin/python -c \"{BROKER}[broker.lpop('default') for _ in range(2)]\"")
    host.check_output(
        "cd / && runuser -u postgres -- psql airflow -c "
        "\"UPDATE task_instance SET queued_dttm = queued_dttm - interval '1 hour' WHERE state = 'queued'\""
    )
    assert airflow.wait("airstrip_crowd", crowd, 240) == "success"
    assert states(airflow, crowd) == {"success": TASKS}
    assert {task["try_number"] for task in airflow.tasks("airstrip_crowd", crowd)} == {1}
    assert Counter(event["event"] for event in verdicts(airflow, "airstrip_crowd", crowd)) == {"message lost": 2}
    assert airflow.wait("airstrip_misspelt", misspelt, 60) == "failed"
    (event,) = verdicts(airflow, "airstrip_misspelt", misspelt)
    assert "No worker of this site takes the queue 'defualt'" in event["extra"]
