"""A run of the example's DAG, by the README's own commands: every component of the flow has its part in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import Site

DAG_ID = "airflow_flow"
INBOX = "/srv/airflow/inbox/orders.csv"
LOGS = "/srv/airflow/logs"
ROWS = ["anna|2|165", "ben|1|30", "carla|1|80"]
# Three customers, and the sensor is sent to a worker a second time when its file has come.
TASKS = {"wait_for_orders": 1, "customers": 1, "add_up": 3, "store": 1}
SENT = 7


@dataclass(frozen=True)
class Flow:
    """A run that has ended, its sensor as it waited, its tasks, and what has been counted meanwhile."""

    run_id: str
    state: str
    waited: dict[str, Any]
    tasks: list[dict[str, Any]]
    pushed: int
    results: int


@pytest.fixture(scope="module")
def broker(site: Site) -> Iterator[Any]:
    with (
        site.tunnel("data-1", 6379) as port,
        redis.Redis(
            port=port, username="admin", password=site.secrets["redis_admin_password"], decode_responses=True,
            protocol=2, ssl=True, ssl_ca_certs=str(site.ca_certificate),
        ) as client,
    ):  # fmt: skip
        yield client


def pushed(broker: Any) -> int:
    """Return how often somebody has put a message into a queue."""
    return int(broker.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"])


def results(data: Any) -> int:
    """Return how many results of tasks Celery has in PostgreSQL."""
    return int(sql(data, "SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'", "airflow_results"))


def waiting(airflow: Airflow, run_id: str) -> dict[str, Any]:
    """Return the sensor's task instance once a triggerer has taken its trigger."""
    limit = time.monotonic() + 120
    while True:
        (task,) = [task for task in airflow.tasks(DAG_ID, run_id) if task["task_id"] == "wait_for_orders"]
        if task["state"] == "deferred" and task["triggerer_job"]:
            return task
        assert time.monotonic() < limit, task["state"]
        time.sleep(0.5)


@pytest.fixture(scope="module")
def flow(airflow: Airflow, control: Any, data: Any, broker: Any, readme: Any) -> Flow:
    """The commands of the README one after the other, and a look between them."""
    control.check_output(f"rm -f {INBOX}")
    readme.run("src=examples/kubernetes/dags/")
    airflow.wait_for_dag(DAG_ID, 180)
    before = pushed(broker), results(data)
    readme.run(f"airflow dags trigger {DAG_ID}")
    (run,) = airflow.request("GET", f"/api/v2/dags/{DAG_ID}/dagRuns", order_by="-run_after", limit="1")["dag_runs"]
    run_id = str(run["dag_run_id"])
    waited = waiting(airflow, run_id)
    readme.run("src=examples/kubernetes/inbox/")
    state = airflow.wait(DAG_ID, run_id, 300)
    return Flow(
        run_id, state, waited, airflow.tasks(DAG_ID, run_id), pushed(broker) - before[0], results(data) - before[1]
    )


def test_the_run_is_green(flow: Flow, airflow: Airflow) -> None:
    logs = {task["task_id"]: airflow.log(DAG_ID, flow.run_id, task) for task in flow.tasks}
    assert flow.state == "success", logs
    found = {name: sum(task["task_id"] == name for task in flow.tasks) for name in TASKS}
    assert found == TASKS
    assert {task["state"] for task in flow.tasks} == {"success"}


def test_the_dag_processor_has_read_the_volume(flow: Flow, airflow: Airflow) -> None:
    assert flow.state == "success"
    dag = airflow.request("GET", f"/api/v2/dags/{DAG_ID}/details")
    assert dag["fileloc"] == "/srv/airflow/dags/airflow_flow.py"
    assert airflow.request("GET", "/api/v2/importErrors")["total_entries"] == 0


def test_the_sensor_waited_in_the_triggerer(flow: Flow) -> None:
    assert flow.waited["trigger"]["classpath"] == "airflow.providers.standard.triggers.file.FileTrigger"
    assert flow.waited["triggerer_job"]["job_type"] == "TriggererJob"
    assert flow.waited["triggerer_job"]["hostname"].split(".")[0] == "control-1"


def test_tasks_ran_on_the_worker(flow: Flow) -> None:
    assert {task["hostname"].split(".")[0] for task in flow.tasks} == {"worker-1"}


def test_tasks_went_through_redis(flow: Flow) -> None:
    assert flow.pushed >= SENT


def test_what_tasks_returned_to_celery_is_in_postgresql(flow: Flow) -> None:
    assert flow.results >= SENT


def test_what_tasks_have_worked_out_is_in_postgresql(flow: Flow, revenue: Callable[[str], list[str]]) -> None:
    assert revenue(flow.run_id) == ROWS


def test_logs_are_in_the_volume(flow: Flow, control: Any, worker: Any) -> None:
    for task in flow.tasks:
        index = f"map_index={task['map_index']}/" if task["map_index"] >= 0 else ""
        place = f"{LOGS}/dag_id={DAG_ID}/run_id={flow.run_id}/task_id={task['task_id']}/{index}"
        file = f"{place}attempt={task['try_number']}.log"
        written = worker.file(file).content
        assert written
        assert control.file(file).content == written
    place = f"{LOGS}/dag_id={DAG_ID}/run_id={flow.run_id}/task_id=wait_for_orders"
    assert "trigger" in worker.check_output(f"ls '{place}'")


def test_the_api_server_shows_the_logs(flow: Flow, airflow: Airflow) -> None:
    said = [airflow.log(DAG_ID, flow.run_id, task) for task in flow.tasks if task["task_id"] == "add_up"]
    assert [sum("anna: 2 orders, 165" in text for text in said), len(said)] == [1, 3]
