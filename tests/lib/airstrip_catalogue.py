"""The metrics that may be asked for, from roles/prometheus/files/catalogue.yml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from airstrip_promql import selected

PATH = Path(__file__).resolve().parents[2] / "roles" / "prometheus" / "files" / "catalogue.yml"

# What each series has from Prometheus, and what its functions read or make.
EVERYWHERE = frozenset({"job", "instance", "__name__"})
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
# Labels of one's own that an alert may have, and by which ALERTS is asked.
OPEN = frozenset({"ALERTS", "ALERTS_FOR_STATE"})


@dataclass(frozen=True)
class Metric:
    """A metric as the catalogue has it."""

    name: str
    job: str
    type: str
    labels: frozenset[str]
    airflow: str
    debian: str


@cache
def catalogue() -> dict[str, Metric]:
    """Return all metrics by the names that are asked for: of a histogram, those of its three parts."""
    found: dict[str, Metric] = {}
    for job, metrics in yaml.safe_load(PATH.read_text(encoding="utf-8")).items():
        for name, entry in metrics.items():
            labels = frozenset(entry["labels"])
            given = (job, entry["type"], labels, entry.get("airflow", ""), str(entry.get("debian", "")))
            if entry["type"] != "histogram":
                found[name] = Metric(name, *given)
                continue
            for ending in OF_HISTOGRAMS:
                of_part = (job, "histogram", labels | {"le"} if ending == "_bucket" else labels, *given[3:])
                found[name + ending] = Metric(name + ending, *of_part)
    return found


def problems(expression: str, recorded: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield what is wrong with the names in an expression; `recorded` are names that recording rules make."""
    for one in selected(expression):
        if one.metric in recorded:
            continue
        metric = catalogue().get(one.metric)
        if metric is None:
            yield f"{one.metric} is in no job of {PATH.name}"
        elif one.metric not in OPEN and (unknown := one.labels - metric.labels - EVERYWHERE):
            yield f"{one.metric} has no label {', '.join(sorted(unknown))}"


def since(expression: str) -> set[str]:
    """Return the conditions on Airflow's version of the metrics in an expression."""
    return {metric.airflow for one in selected(expression) if (metric := catalogue().get(one.metric))} - {""}
