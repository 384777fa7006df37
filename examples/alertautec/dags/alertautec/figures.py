"""Figures of incidents: the seven metrics, and what the report has beside them."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

Incident = dict[str, Any]


def _hours(incident: Incident, until: str) -> float | None:
    """Return the hours from an incident's beginning to a later moment; None if that has not come."""
    if not incident.get(until) or not incident.get("createdAt"):
        return None
    begin, end = (datetime.datetime.fromisoformat(incident[name]) for name in ("createdAt", until))
    return (end - begin).total_seconds() / 3600


def _average(incidents: Iterable[Incident], until: str) -> float:
    hours = [found for incident in incidents if (found := _hours(incident, until)) is not None]
    return round(fmean(hours), 2) if hours else 0.0


def _grouped(incidents: Iterable[Incident], name: str) -> dict[str, list[Incident]]:
    found: defaultdict[str, list[Incident]] = defaultdict(list)
    for incident in incidents:
        if incident.get(name):
            found[str(incident[name])].append(incident)
    return dict(sorted(found.items()))


def overall(incidents: Sequence[Incident]) -> dict[str, float]:
    """Return the figures of all incidents together: numbers, percent, and hours."""
    resolved = [incident for incident in incidents if incident.get("status") == "resolved"]
    return {
        "TotalIncidents": len(incidents),
        "PendingIncidents": len(incidents) - len(resolved),
        "ResolutionRate": round(100 * len(resolved) / len(incidents), 2) if incidents else 0.0,
        "AverageResolutionTime": _average(resolved, "resolvedAt"),
    }


def counts(incidents: Iterable[Incident], name: str) -> dict[str, int]:
    """Return how many incidents have each value of an attribute; those without it are left out."""
    return dict(sorted(Counter(str(incident[name]) for incident in incidents if incident.get(name)).items()))


def response(incidents: Iterable[Incident]) -> dict[str, float]:
    """Return by priority the average hours until people were told."""
    return {
        priority: _average(those, "notifiedAt")
        for priority, those in _grouped(incidents, "priority").items()
        if any(incident.get("notifiedAt") for incident in those)
    }


def metrics(incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    """Return the seven metrics as CloudWatch takes them. It has no unit for hours: they are plain numbers there."""
    units = {"TotalIncidents": "Count", "PendingIncidents": "Count", "ResolutionRate": "Percent"}
    found: list[dict[str, Any]] = [
        {"MetricName": name, "Value": float(value), "Unit": units.get(name, "None")}
        for name, value in overall(incidents).items()
    ]
    by: list[tuple[str, str, dict[str, Any], str]] = [
        ("IncidentsByPriority", "Priority", counts(incidents, "priority"), "Count"),
        ("IncidentsByClassification", "Classification", counts(incidents, "classification"), "Count"),
        ("ResponseTime", "Priority", response(incidents), "None"),
    ]
    for name, dimension, values, unit in by:
        found += [
            {"MetricName": name, "Dimensions": [{"Name": dimension, "Value": key}], "Value": float(value), "Unit": unit}
            for key, value in values.items()
        ]
    return found
