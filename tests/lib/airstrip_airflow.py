"""Airflow as its users see it from outside: a client of the REST API for the tests of a site."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests

HEALTHY = {"metadatabase": "healthy", "scheduler": "healthy", "triggerer": "healthy", "dag_processor": "healthy"}


class Airflow:
    """The API at one URL, as one user. Every request that is not answered with 2xx raises requests.HTTPError.

    `ca` is the file of the authority whose certificates are good; None for the controller's own ones.
    """

    def __init__(self, url: str, username: str, password: str, ca: Path | None = None) -> None:
        self.url = url
        self._session = requests.Session()
        # Whatever proxy the controller has: the hosts of a site are reached without it.
        self._session.trust_env = False
        self._session.verify = True if ca is None else str(ca)
        answer = self._session.post(f"{url}/auth/token", json={"username": username, "password": password}, timeout=30)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def request(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Return the parsed JSON answer to a request of a path below the URL; None if it is empty."""
        answer = self._session.request(method, f"{self.url}{path}", json=body, params=query, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def living_jobs(self, job_type: str) -> list[dict[str, Any]]:
        """Return the jobs of one type that live, such as SchedulerJob."""
        # Airflow looks for them within one page: running ones alone, or ended ones would fill it.
        query = {"is_alive": "true", "job_state": "running", "job_type": job_type}
        jobs: list[dict[str, Any]] = self.request("GET", "/api/v2/jobs", **query)["jobs"]
        return jobs

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG processor has read a DAG."""
        known = self.request("GET", "/api/v2/dags", dag_id_pattern=dag_id, exclude_stale="true")["dags"]
        return dag_id in [dag["dag_id"] for dag in known]

    def wait_for_dag(self, dag_id: str, seconds: float = 120) -> None:
        """Return once the DAG processor has read a DAG; raise TimeoutError if it does not within `seconds`."""
        limit = time.monotonic() + seconds
        while not self.has_dag(dag_id):
            if time.monotonic() > limit:
                raise TimeoutError(f"{dag_id} is not known after {seconds} s")
            time.sleep(0.5)

    def start(self, dag_id: str, **conf: Any) -> str:
        """Start a run of a DAG; return its id."""
        run = self.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def start_new(self, dag_id: str, **conf: Any) -> str:
        """Start a run of a DAG that has just come: it can be known some time before it can be run."""
        limit = time.monotonic() + 60
        while True:
            try:
                return self.start(dag_id, **conf)
            except requests.HTTPError:
                if time.monotonic() > limit:
                    raise
                time.sleep(1)

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.request("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run."""
        found: list[dict[str, Any]] = []
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        while part := self.request("GET", path, limit="100", offset=str(len(found)))["task_instances"]:
            found += part
        return found

    def tries(self, dag_id: str, run_id: str, task: dict[str, Any]) -> list[dict[str, Any]]:
        """Return all tries of a task instance, the present one included."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}"
        path += f"/{task['map_index']}" if task["map_index"] >= 0 else ""
        found: list[dict[str, Any]] = self.request("GET", f"{path}/tries")["task_instances"]
        return found

    def log(self, dag_id: str, run_id: str, task: dict[str, Any]) -> str:
        """Return the log of a task instance, as the API server fetches it from its host."""
        path = (
            f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{max(task['try_number'], 1)}"
        )
        lines = self.request("GET", path, map_index=str(task["map_index"]), full_content="true")["content"]
        return "\n".join(str(line.get("event", "")) if isinstance(line, dict) else str(line) for line in lines)

    def result(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task returned, or has stored under another key."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.request("GET", path, deserialize="false", stringify="false")["value"]

    def wait(self, dag_id: str, run_id: str, seconds: float = 120) -> str:
        """Return the final state of a run; raise TimeoutError, with its tasks, if it does not end within `seconds`."""
        limit = time.monotonic() + seconds
        while (state := self.state(dag_id, run_id)) not in {"success", "failed"}:
            if time.monotonic() > limit:
                seen = {task["task_id"]: task["state"] for task in self.tasks(dag_id, run_id)}
                raise TimeoutError(f"{dag_id} is {state} after {seconds} s: {seen}")
            time.sleep(1)
        return state

    def wait_until_healthy(self, seconds: float = 120) -> None:
        """Return once all components report to the API; raise TimeoutError if they do not within `seconds`."""
        limit = time.monotonic() + seconds
        seen: Any = None
        while seen != HEALTHY:
            if time.monotonic() > limit:
                raise TimeoutError(f"not healthy after {seconds} s: {seen}")
            try:
                health = self.request("GET", "/api/v2/monitor/health")
                seen = {name: health[name]["status"] for name in HEALTHY}
            except requests.RequestException as error:
                seen = error
            if seen != HEALTHY:
                time.sleep(1)
