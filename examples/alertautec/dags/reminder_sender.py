"""Reminds people of urgent incidents that nobody has resolved."""

from __future__ import annotations

import datetime

from airflow.sdk import dag, task
from alertautec.incidents import RESOLVED, Incidents, now
from alertautec.notices import Notices

AFTER = datetime.timedelta(hours=1)


@dag(
    schedule="0 * * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "alertautec", "retries": 2, "retry_delay": datetime.timedelta(minutes=1)},
    tags=["alertautec"],
)
def reminder_sender() -> None:
    """Remind every hour."""

    @task
    def remind() -> int:
        """Return of how many incidents people were reminded."""
        incidents, notices, done = Incidents(), Notices(), 0
        for incident in incidents.all():
            told = incident.get("remindedAt") or incident.get("notifiedAt")
            if incident.get("priority") != "High" or incident.get("status") == RESOLVED or not told:
                continue
            if now() - datetime.datetime.fromisoformat(told) >= AFTER:
                notices.send(incident, "Reminder")
                done += incidents.set(incident, remindedAt=now().isoformat())
        return done

    remind()


reminder_sender()
