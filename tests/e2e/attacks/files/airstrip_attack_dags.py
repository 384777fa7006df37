"""DAGs that attack from inside a task, from a trigger, and from the DAG file itself, whoever reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, get_current_context, task
from airstrip_attack_trigger import AttackTrigger
from airstrip_attacks import outcomes, plant_results

# Who reads the file tells what it can by the description of a DAG of its own. Tasks are not meant to do so.
URL = Path(__file__).with_suffix(".url").read_text(encoding="utf-8").strip()
READER = Path(os.environ["HOME"]).name
SEEN = {} if READER.startswith("worker") else outcomes(URL)

if SEEN:
    with DAG(dag_id=f"airstrip_attack_{READER}", schedule=None, doc_md=json.dumps(SEEN, sort_keys=True)):
        pass


class Deferred(BaseOperator):
    """Has a trigger try everything, and returns what came of it."""

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow passes it
        self.defer(trigger=AttackTrigger(URL), method_name="complete")

    def complete(self, context: Any, event: dict[str, str]) -> dict[str, str]:  # noqa: ARG002 - Airflow passes it
        return event


with DAG(dag_id="airstrip_attack", schedule=None, is_paused_upon_creation=False, default_args={"retries": 0}):

    @task
    def attack() -> dict[str, str]:
        """Try everything from a task."""
        return dict(outcomes(URL))

    @task
    def plant() -> int:
        """Plant results for schedulers to read."""
        return plant_results() if (get_current_context()["dag_run"].conf or {}).get("plant") else 0

    attack()
    plant()
    Deferred(task_id="trigger")
