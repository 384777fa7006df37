"""Tells people of incidents that have been classified."""

from __future__ import annotations

import datetime

from airflow.sdk import dag, task
from alertautec.incidents import RESOLVED, Incidents, now
from alertautec.notices import Notices


@dag(
    schedule="*/10 * * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "alertautec", "retries": 2, "retry_delay": datetime.timedelta(minutes=1)},
    tags=["alertautec"],
)
def notification_dispatcher() -> None:
    """Notify every 10 minutes."""

    @task
    def notify() -> int:
        """Return of how many incidents people were told."""
        incidents, notices, done = Incidents(), Notices(), 0
        for incident in incidents.all():
            due = incident.get("classification") and not incident.get("notificationSent")
            if due and incident.get("status") != RESOLVED:
                # A notice that comes twice is better than none: it is noted once it has gone.
                notices.send(incident, "New incident")
                done += incidents.set(incident, notificationSent=True, notifiedAt=now().isoformat())
        return done

    notify()


notification_dispatcher()
