"""Gives new incidents a classification and a priority."""

from __future__ import annotations

import datetime

from airflow.sdk import dag, task
from alertautec.incidents import Incidents, now
from alertautec.rules import classify as by_rules


@dag(
    schedule="*/5 * * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "alertautec", "retries": 2, "retry_delay": datetime.timedelta(minutes=1)},
    tags=["alertautec"],
)
def incident_classifier() -> None:
    """Classify every 5 minutes."""

    @task
    def classify() -> int:
        """Return how many there were."""
        incidents, done = Incidents(), 0
        for incident in incidents.all():
            if not incident.get("classification"):
                kind, priority = by_rules(incident.get("description", ""), incident.get("location", ""))
                at = now().isoformat()
                done += incidents.set(incident, classification=kind, priority=priority, classifiedAt=at)
        return done

    classify()


incident_classifier()
