"""The report as a page of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from alertautec.figures import Incident, counts, overall, response


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{value}</td></tr>" for name, value in values.items())
    return f"<h2>{escape(title)}</h2><table>{rows or '<tr><td>none</td></tr>'}</table>"


def page(incidents: Sequence[Incident], day: str) -> str:
    """Return the report of a day."""
    tables = {
        "All incidents": overall(incidents),
        "By location": counts(incidents, "location"),
        "By classification": counts(incidents, "classification"),
        "Hours until people were told, by priority": response(incidents),
    }
    parts = "".join(_table(title, values) for title, values in tables.items())
    return f"<html><body><h1>AlertaUTEC, {escape(day)}</h1>{parts}</body></html>"
