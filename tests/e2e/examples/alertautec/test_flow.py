"""What the system is for: incidents are classified, people are told and reminded, figures and a report go out."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from airstrip_airflow import Airflow

Told = Callable[[], list[dict[str, Any]]]
Run = Callable[[str], str]
SCHEDULES = {
    "incident_classifier": "*/5 * * * *",
    "notification_dispatcher": "*/10 * * * *",
    "report_generator": "0 8 * * *",
    "metrics_analyzer": "0 */6 * * *",
    "reminder_sender": "0 * * * *",
}
CREATED = "2026-01-05T08:00:00+00:00"
GIVEN = {
    "robo": {"description": "Robo de una laptop", "location": "Biblioteca <piso 2>", "status": "pending"},
    "olor": {"description": "Olor extraño", "location": "Laboratorio de química", "status": "pending"},
    "wifi": {"description": "No hay WiFi", "location": "Aula 401", "status": "pending"},
    "otro": {"description": "Se perdió un gato", "location": "Patio", "status": "pending"},
    "agua": {
        "description": "Fuga de agua", "location": "Patio", "status": "resolved",
        "resolvedAt": "2026-01-05T10:30:00+00:00",
    },
}  # fmt: skip
EXPECTED = {
    "robo": ("Security", "High"),
    "olor": ("Cleaning", "Medium"),
    "wifi": ("Technology", "Medium"),
    "otro": ("Other", "Low"),
    "agua": ("Infrastructure", "Medium"),
}


@pytest.fixture(name="given", scope="module")
def fixture_given(incidents: Any) -> Any:
    """The table with the incidents that people have reported."""
    for name, values in GIVEN.items():
        incidents.put_item(Item={"incidentId": name, "createdAt": CREATED, **values})
    return incidents


def read(table: Any) -> dict[str, dict[str, Any]]:
    return {item["incidentId"]: item for item in table.scan(ConsistentRead=True)["Items"]}


def with_subject(told: list[dict[str, Any]], beginning: str) -> list[dict[str, Any]]:
    return [notice for notice in told if notice["subject"].startswith(beginning)]


@pytest.mark.parametrize(("name", "schedule"), SCHEDULES.items())
def test_dags_have_their_schedules_and_limits(deployed: Airflow, name: str, schedule: str) -> None:
    found = deployed.request("GET", f"/api/v2/dags/{name}/details")
    assert found["timetable_summary"] == schedule
    assert found["max_active_tasks"] == 8
    assert found["max_active_runs"] == 1
    assert found["timezone"] == ("America/Lima" if name == "report_generator" else "UTC")
    assert len(deployed.request("GET", f"/api/v2/dags/{name}/tasks")["tasks"]) == 1


def test_incidents_are_classified(run: Run, given: Any) -> None:
    run("incident_classifier")
    found = read(given)
    assert {name: (item["classification"], item["priority"]) for name, item in found.items()} == EXPECTED
    assert all(datetime.datetime.fromisoformat(item["classifiedAt"]).tzinfo for item in found.values())


def test_people_are_told_once_by_the_topic_of_the_priority(run: Run, given: Any, notices: Told) -> None:
    run("notification_dispatcher")
    run("notification_dispatcher")
    news = with_subject(notices(), "New incident: ")
    topics = {notice["incidentId"]: notice["topic"].rsplit(":", 1)[1] for notice in news}
    assert len(news) == 4
    assert topics == {
        "robo": "AlertaUTEC-HighPriority",
        "olor": "AlertaUTEC-MediumPriority",
        "wifi": "AlertaUTEC-MediumPriority",
        "otro": "AlertaUTEC-LowPriority",
    }
    (robo,) = [notice for notice in news if notice["incidentId"] == "robo"]
    assert robo["subject"] == "New incident: Security (High)"
    assert robo["location"] == GIVEN["robo"]["location"]
    sent = {name for name, item in read(given).items() if item.get("notificationSent") is True}
    assert sent == {"robo", "olor", "wifi", "otro"}


def test_people_are_reminded_of_what_is_urgent(run: Run, given: Any, notices: Told) -> None:
    long_ago = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=2)).isoformat()
    for name in ("robo", "wifi"):
        given.update_item(
            Key={"incidentId": name},
            UpdateExpression="SET notifiedAt = :then",
            ExpressionAttributeValues={":then": long_ago},
        )
    run("reminder_sender")
    run("reminder_sender")
    reminders = with_subject(notices(), "Reminder: ")
    assert [notice["incidentId"] for notice in reminders] == ["robo"]
    assert read(given)["robo"]["remindedAt"]


def test_the_seven_metrics_are_published(run: Run, given: Any, aws: Callable[[str], Any]) -> None:
    run("metrics_analyzer")
    watch = aws("cloudwatch")
    listed = watch.list_metrics(Namespace="AlertaUTEC/Incidents")["Metrics"]
    assert {metric["MetricName"] for metric in listed} == {
        "TotalIncidents", "PendingIncidents", "ResolutionRate", "AverageResolutionTime", "IncidentsByPriority",
        "IncidentsByClassification", "ResponseTime",
    }  # fmt: skip
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)

    def value(name: str, **dimensions: str) -> tuple[float, str]:
        points = watch.get_metric_statistics(
            Namespace="AlertaUTEC/Incidents", MetricName=name, Period=3600, Statistics=["Maximum"],
            StartTime=end - datetime.timedelta(hours=1), EndTime=end,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        )["Datapoints"]  # fmt: skip
        return points[-1]["Maximum"], points[-1]["Unit"]

    assert value("TotalIncidents") == (len(GIVEN), "Count")
    assert value("PendingIncidents") == (4, "Count")
    assert value("ResolutionRate") == (20, "Percent")
    assert value("AverageResolutionTime") == (2.5, "None")
    assert value("IncidentsByPriority", Priority="Medium") == (3, "Count")
    assert value("IncidentsByClassification", Classification="Security") == (1, "Count")
    assert value("ResponseTime", Priority="High")[0] > 0
    assert len(read(given)) == len(GIVEN)


def test_the_report_is_sent(run: Run, given: Any, mails: Told) -> None:
    """To whom, the Parameter Store alone says."""
    before = len(mails())
    run("report_generator")
    sent = mails()[before:]
    assert [mail["destinations"]["ToAddresses"] for mail in sent] == [["admin@utec.edu.pe"]]
    assert sent[0]["subject"].startswith("AlertaUTEC: incidents, 20")
    assert f"<td>TotalIncidents</td><td>{len(read(given))}</td>" in sent[0]["body"]
    assert "<td>Biblioteca &lt;piso 2&gt;</td><td>1</td>" in sent[0]["body"]


def test_a_schedule_starts_runs_by_itself(deployed: Airflow) -> None:
    """The one of 5 minutes has come by now, or comes soon."""
    limit = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=6)
    query = {"run_type": "scheduled", "state": "success"}
    while (
        not (found := deployed.request("GET", "/api/v2/dags/incident_classifier/dagRuns", **query)["dag_runs"])
        and datetime.datetime.now(datetime.UTC) < limit
    ):
        deployed.wait_until_healthy()
    assert found
