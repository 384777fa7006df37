"""Dashboards as Grafana has them: their panels, and what it asks Prometheus for each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).resolve().parents[2] / "roles" / "grafana" / "files" / "dashboards"


@dataclass(frozen=True)
class Asked:
    """A query of a panel, as it stands in the dashboard."""

    dashboard: str
    panel: str
    expression: str
    instant: bool

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.dashboard}: {self.panel}"


@dataclass(frozen=True)
class Times:
    """What Grafana's own variables follow from, in seconds: the time that is looked at, its steps and the scrapes."""

    span: int
    step: int
    scrape: int


def dashboards(directory: Path = DIRECTORY) -> dict[str, dict[str, Any]]:
    """Return the dashboards that are shipped, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, those in collapsed rows among them."""
    for panel in dashboard.get("panels", []):
        yield panel
        yield from panels(panel)


def asked(name: str, dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Yield what the panels of a dashboard ask."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield Asked(name, panel["title"], target["expr"], bool(target.get("instant")))


def variables(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """Return the values that a dashboard's variables have when it is opened: of `All`, what that stands for."""
    found = {}
    for variable in dashboard.get("templating", {}).get("list", []):
        value = variable.get("current", {}).get("value", variable.get("query", ""))
        found[variable["name"]] = variable["allValue"] if value == "$__all" else value
    return found


def filled(expression: str, values: Mapping[str, str], times: Times) -> str:
    """
    Return an expression with its variables replaced, as Grafana does; raise KeyError on one that there is not.

    $__rate_interval is four scrapes at least, so that there are two samples in it even if one is late.
    """
    own = {
        "__rate_interval": f"{max(times.step + times.scrape, 4 * times.scrape)}s",
        "__interval": f"{times.step}s",
        "__range": f"{times.span}s",
        "__range_s": f"{times.span}",
    }
    return re.sub(r"\$\{?(\w+)\}?", lambda match: {**values, **own}[match[1]], expression)
