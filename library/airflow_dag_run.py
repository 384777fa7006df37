#!/usr/bin/python
"""Module: run a DAG of Airflow and wait for its end."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.airflow_api import ARGUMENT_SPEC, AirflowApi, AirflowApiError, segment
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: airflow_dag_run
short_description: Run a DAG of Airflow and wait for its end
description:
  - Triggers a DAG through Airflow's REST API, waits until the run has ended, and returns its tasks with their logs.
  - Fails if the DAG does not appear, if the run does not end in time, or if it ends in another state than success.
    The failure carries what was seen by then, in the same return values.
  - It does not fail if all slots that could take the waiting tasks are taken by others that progress. RV(stage) is
    V(busy) then, and the run ends by itself, later.
author: Airstrip
options:
  api_url: {description: "URL of an API server, for example http://127.0.0.1:8080.", type: str, required: true}
  api_username: {description: User name., type: str, required: true}
  api_password: {description: Password., type: str, required: true}
  api_ca_path: {description: "File with the authorities to trust; without it, the system's.", type: path}
  api_timeout: {description: Seconds that one request may take., type: int, default: 30}
  dag_id: {description: Id of the DAG., type: str, required: true}
  tag: {description: A tag that the DAG must have before it is run; waits for the DAG processor., type: str}
  conf: {description: The run's configuration., type: dict, default: {}}
  parse_timeout: {description: Seconds to wait for the DAG., type: int, default: 120}
  run_timeout:
    description:
      - Seconds to wait for the end of the run. After it, slots that are all taken count as busy. Tasks of a worker that
        is gone look as if they ran until Airflow misses their heartbeats, so it should be longer than that.
    type: int
    default: 330
  busy_timeout:
    description: Seconds after which slots that are all taken count as busy, if tasks were begun on them meanwhile.
    type: int
    default: 60
  log_source:
    description:
      - How the place begins from which a log of each task has to come, for example C(s3://logs/). Logs are written
        there some seconds after the end of a task.
    type: str
    default: ""
  log_timeout: {description: Seconds to wait for that., type: int, default: 60}
  slots:
    description: Who runs tasks. Without any, nothing counts as busy.
    type: list
    elements: dict
    default: []
    suboptions:
      queues: {description: The queues from which it takes them., type: list, elements: str, required: true}
      slots: {description: How many it runs at once., type: int, required: true}
attributes:
  check_mode: {support: none, description: A run cannot be tried without running it.}
"""

EXAMPLES = r"""
- name: Run the nightly DAG now
  airflow_dag_run:
    api_url: http://127.0.0.1:8080
    api_username: admin
    api_password: "{{ airflow_admin_password }}"
    dag_id: nightly
"""

RETURN = r"""
stage: {description: "How far it came: api, parse, schedule, run, busy, logs, or done.", type: str, returned: always}
busy:
  description: >-
    By queue on which a task of the run waits, how many C(slots) could take it, how many tasks are C(running) there, and
    how many are C(queued) and whether any was C(begun) since the run began.
  type: dict
  returned: when the run was waited for longer than O(busy_timeout)
run_id: {description: Id of the DAG run., type: str, returned: when a run was made}
state: {description: State of the run., type: str, returned: when a run was made}
seconds: {description: Seconds from the trigger to the end of the run., type: float, returned: when the run ended}
api_seconds: {description: Seconds that the API took to tell its version., type: float, returned: when it answered}
version: {description: Version of the API server., type: str, returned: when it answered}
task_instances:
  description: >-
    Task instances as the REST API returns them, with `log_lines` (the number of lines read back) and `log_sources`
    (where they came from).
  type: list
  elements: dict
  returned: when a run was made
jobs:
  description:
    - Living jobs (schedulers, DAG processors, triggerers) as the REST API returns them, with C(heartbeat_age),
      the seconds since the last heartbeat.
  type: list
  elements: dict
  returned: when the API answered
"""

_POLL_SECONDS = 0.5
_SECONDS_BETWEEN_LOOKS = 5
_WAITING = ("scheduled", "queued")
_FINAL_STATES = ("success", "failed")
_SERVER_ERROR = 500
# Airflow looks for living jobs among those of one page only: without the rest, a page of ended ones would hide them.
_LIVING_JOBS = {"is_alive": "true", "job_state": "running", "order_by": "-latest_heartbeat", "limit": "100"}


def sources(content: list[Any]) -> list[str]:
    """Return the places from which a log was read, which stand in a group of lines before all others.

    Up to Airflow 3.1 they are a list in its first line, and from 3.2 on a line each.
    """
    found: list[str] = []
    for line in content:
        if not isinstance(line, dict) or line.get("timestamp") or line.get("event") == "::endgroup::":
            break
        event = str(line.get("event", ""))
        found += map(str, line.get("sources") or []) if event.startswith("::group::") else [event]
    return found


def is_line(line: dict[str, Any]) -> bool:
    """Tell whether a line is one of a task's, and not what CloudWatch's handler says in place of a log."""
    return not str(line.get("event", "")).startswith("No log stream found in CloudWatch")


class BusyError(Exception):
    """All slots that could take the waiting tasks are taken."""


class DagRun:
    """One run of a DAG, and what was seen of it."""

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self._api = AirflowApi(params)
        self._path = f"/api/v2/dags/{segment(params['dag_id'])}"
        self._began = datetime.now(UTC).isoformat()
        self._run_id = f"manual__{self._began}"
        self._looked = 0.0
        self.seen: dict[str, Any] = {"stage": "api", "task_instances": [], "jobs": [], "busy": {}}

    def run(self) -> None:
        """Go through all stages. Raises AirflowApiError at the first that fails; `seen` tells which."""
        started = time.monotonic()
        self.seen["version"] = self._api.anonymous("/api/v2/version")["version"]
        self.seen["api_seconds"] = round(time.monotonic() - started, 3)
        jobs = self._api.request("GET", "/api/v2/jobs", query=_LIVING_JOBS)["jobs"]
        self.seen["jobs"] = [{**job, "heartbeat_age": self._age(job["latest_heartbeat"])} for job in jobs]
        self.seen["stage"] = "parse"
        self._wait(self._created, self._params["parse_timeout"], "was not parsed")
        self.seen["stage"] = "schedule"
        try:
            self._await_end()
        except BusyError:
            self.seen["stage"] = "busy"
            return
        if self.seen["state"] != "success":
            raise AirflowApiError(f"DAG {self._params['dag_id']}: the run ended in state {self.seen['state']}")
        self.seen["stage"] = "logs"
        for instance in self.seen["task_instances"]:
            self._read_log(instance)
        self.seen["stage"] = "done"

    @staticmethod
    def _age(moment: str) -> float:
        return round((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 1)

    def _wait(self, condition: Any, seconds: int, what: str) -> None:
        limit = time.monotonic() + seconds
        while True:
            problem = AirflowApiError(f"DAG {self._params['dag_id']} {what} within {seconds} s")
            try:
                if condition():
                    return
            except AirflowApiError as error:
                # No answer, or a failure of the server's own: it may restart, or have lost its database for a moment.
                if 0 < error.status < _SERVER_ERROR:
                    raise
                problem = error
            if time.monotonic() > limit:
                raise problem
            time.sleep(_POLL_SECONDS)

    def _await_end(self) -> None:
        """Wait for the end of the run. Raises BusyError if there is no slot for it."""
        began = time.monotonic()

        def ended() -> bool:
            if self._ended():
                return True
            now = time.monotonic()
            if now - began > self._params["busy_timeout"] and now - self._looked > _SECONDS_BETWEEN_LOOKS:
                self._looked = now
                if self._taken() and all(row["begun"] for row in self.seen["busy"].values()):
                    raise BusyError
            return False

        try:
            self._wait(ended, self._params["run_timeout"], "did not end")
        except AirflowApiError:
            with suppress(AirflowApiError):
                if self._taken():
                    raise BusyError from None
            raise

    def _taken(self) -> bool:
        """Look whether all slots are taken that could take the waiting tasks. The most that ever ran count.

        Between two tasks, a slot is free for a moment.
        """
        before, self.seen["busy"] = self.seen["busy"], {}
        for queue in sorted({task["queue"] for task in self.seen["task_instances"] if task["state"] in _WAITING}):
            workers = [worker for worker in self._params["slots"] if queue in worker["queues"]]
            queues = sorted({name for worker in workers for name in worker["queues"]})
            self.seen["busy"][queue] = {
                "slots": sum(worker["slots"] for worker in workers),
                "running": max(self._count(queues, state="running"), before.get(queue, {}).get("running", 0)),
                "queued": self._count(queues, state="queued"),
                "begun": self._count(queues, start_date_gte=self._began),
            }
        rows = self.seen["busy"].values()
        return bool(rows) and all(0 < row["slots"] <= row["running"] for row in rows)

    def _count(self, queues: list[str], **wanted: str) -> int:
        """Return the number of task instances of some queues, of all DAGs."""
        query = {"queue": queues, "limit": "1", **wanted}
        found = self._api.request("GET", "/api/v2/dags/~/dagRuns/~/taskInstances", query=query)
        return int(found["total_entries"])

    def _parsed(self) -> bool:
        try:
            dag = self._api.request("GET", self._path)
        except AirflowApiError as error:
            if error.status == 404:
                return False
            raise
        wanted = self._params["tag"]
        if wanted and wanted not in [tag["name"] for tag in dag["tags"]]:
            return False
        if dag["is_paused"]:
            self._api.request("PATCH", self._path, {"is_paused": False})
        return True

    def _created(self) -> bool:
        """Create the run, as soon as the DAG is there. Asked again with the same id, there still is one run."""
        if not self._parsed():
            return False
        wanted = {"dag_run_id": self._run_id, "logical_date": None, "conf": self._params["conf"]}
        try:
            self.seen["run_id"] = self._api.request("POST", f"{self._path}/dagRuns", wanted)["dag_run_id"]
        except AirflowApiError as error:
            # A DAG can be known some time before its serialized form is.
            if error.status == 404:
                return False
            if error.status != 409:
                raise
            self.seen["run_id"] = self._run_id
        return True

    def _ended(self) -> bool:
        run = f"{self._path}/dagRuns/{segment(self.seen['run_id'])}"
        state = self._api.request("GET", run)
        self.seen["state"] = state["state"]
        self.seen["task_instances"] = self._api.request("GET", f"{run}/taskInstances")["task_instances"]
        if any(instance["state"] for instance in self.seen["task_instances"]):
            self.seen["stage"] = "run"
        if state["state"] not in _FINAL_STATES:
            return False
        self.seen["seconds"] = state["duration"]
        return True

    def _read_log(self, instance: dict[str, Any]) -> None:
        """Read a log, from where it has to come. That is written when the task has ended already."""
        wanted, limit = self._params["log_source"], time.monotonic() + self._params["log_timeout"]
        while True:
            content = self._log(instance)
            instance["log_sources"] = sources(content)
            events = [line for line in content if isinstance(line, dict) and line.get("timestamp") and is_line(line)]
            if not wanted or (events and any(source.startswith(wanted) for source in instance["log_sources"])):
                break
            if time.monotonic() > limit:
                found = ", ".join(instance["log_sources"]) or "nowhere"
                raise AirflowApiError(f"task {instance['task_id']}: its log comes from {found}, and not from {wanted}")
            time.sleep(_POLL_SECONDS)
        instance["log_lines"] = len(events)
        if not events:
            raise AirflowApiError(f"task {instance['task_id']} on {instance['hostname']}: no log: {content}")

    def _log(self, instance: dict[str, Any]) -> list[Any]:
        run = f"{self._path}/dagRuns/{segment(self.seen['run_id'])}"
        path = f"{run}/taskInstances/{segment(instance['task_id'])}/logs"
        query = {"map_index": instance["map_index"], "full_content": "true"}
        # A deferred task has been tried once; its log holds both parts.
        log = self._api.request("GET", f"{path}/{max(instance['try_number'], 1)}", query=query)
        return list(log["content"])


def main() -> None:
    """Run the module."""
    spec = ARGUMENT_SPEC | {
        "dag_id": {"type": "str", "required": True},
        "tag": {"type": "str"},
        "conf": {"type": "dict", "default": {}},
        "parse_timeout": {"type": "int", "default": 120},
        "run_timeout": {"type": "int", "default": 330},
        "busy_timeout": {"type": "int", "default": 60},
        "log_source": {"type": "str", "default": ""},
        "log_timeout": {"type": "int", "default": 60},
        "slots": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "queues": {"type": "list", "elements": "str", "required": True},
                "slots": {"type": "int", "required": True},
            },
        },
    }
    module = AnsibleModule(argument_spec=spec)
    dag_run = DagRun(module.params)
    try:
        dag_run.run()
    except AirflowApiError as error:
        module.fail_json(msg=str(error), changed="run_id" in dag_run.seen, **dag_run.seen)
    module.exit_json(changed=True, **dag_run.seen)


if __name__ == "__main__":
    main()
