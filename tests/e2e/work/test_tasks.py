"""What tasks bear and do: longer than the day that Airflow gives to their token and message, and native code."""

from __future__ import annotations

import re
import time
from typing import Any

from airstrip_airflow import Airflow
from airstrip_units import properties

# As the fixtures set it, in seconds.
DAY = 60


def test_a_task_of_two_days_and_a_half_runs_once(node: Any, airflow: Airflow) -> None:
    began = int(time.time())
    run = airflow.start("airstrip_sleep", seconds=2.5 * DAY)
    state = airflow.wait("airstrip_sleep", run, 4 * DAY)
    task = airflow.tasks("airstrip_sleep", run)[0]
    log = airflow.log("airstrip_sleep", run, task)
    assert state == "success", log
    assert len(airflow.tries("airstrip_sleep", run, task)) == 1
    assert log.count("airstrip: sleeps") == 1
    # So the days did end: its message came a second time, to be ignored.
    journal = node.check_output(f"journalctl --unit='airflow-worker@*' --since=@{began} --output=cat")
    assert re.search("Task already running elsewhere, ignoring redelivered message", journal)


def test_native_code_needs_no_exception(node: Any, airflow: Airflow) -> None:
    strict = properties(node, "airflow-worker@default", "MemoryDenyWriteExecute")
    assert strict == {"MemoryDenyWriteExecute": "yes"}
    run = airflow.start("airstrip_native")
    assert airflow.wait("airstrip_native", run) == "success"
    tasks = airflow.tasks("airstrip_native", run)
    found = {task["task_id"]: airflow.result("airstrip_native", run, task["task_id"]) for task in tasks}
    assert found == {"invert": 250.0, "group": 4, "add": 6, "share": 2}
