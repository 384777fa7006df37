"""Filters: the status of a site as text and as a page, both from what airflow_status has worked out."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.status_charts import Span, chart

# Columns of the text, and those that a name has at least in a table that would be too wide.
_WIDTH = 110
_NARROWEST = 12
_WORDS = {"good": "OK", "warning": "WARN", "bad": "ERROR"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Row = Mapping[str, Any]


def _span(seconds: float | None) -> str:
    """Return a length of time by its largest unit, and the next smaller one if there is some of it."""
    rest, parts = int(seconds or 0), list[str]()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}")
        if parts and (len(parts) == 2 or not number):
            break
    return " ".join(parts) or "0 s"


def _cells(row: Row) -> dict[str, str]:
    """Return the cells of a component's line. What is not known is empty."""
    busy = "?" if row["busy"] is None else row["busy"]
    slots = "?" if row["slots"] is None else row["slots"]
    has_slots = row["busy"] is not None or row["slots"] is not None
    return {
        "host": row["host"],
        "component": row["component"],
        "state": row["state"],
        "since (UTC)": (row["since"] or "").replace("T", " ")[:16],
        "restarts": "" if row["restarts"] is None else str(row["restarts"]),
        "heartbeat": "" if row["heartbeat"] is None else _span(row["heartbeat"]),
        "slots": (f"{busy} of {slots}" + ("*" if row["shared"] else "")) if has_slots else "",
        "release": row["release"],
    }


def _text(value: object, unknown: str = "?") -> str:
    return unknown if value is None else str(value)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 2]}.."


def _table(rows: Sequence[Mapping[str, str]], right: Sequence[str] = ()) -> list[str]:
    """Return rows as lines; the first two columns give way where the table would be too wide."""
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for key in [*widths][:2]:
        excess = sum(widths.values()) + 2 * (len(widths) - 1) - _WIDTH
        widths[key] = max(min(widths[key], _NARROWEST), widths[key] - max(excess, 0))
    lines = [{key: key for key in widths}, {key: "-" * width for key, width in widths.items()}, *rows]
    return [
        "  ".join(
            line[key].rjust(width) if key in right else _cut(line[key], width).ljust(width)
            for key, width in widths.items()
        ).rstrip()
        for line in lines
    ]


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _word(status: Mapping[str, Any]) -> str:
    """Return how a site is in one word: that of the worst finding."""
    levels = {problem["level"] for problem in status["problems"]}
    return _WORDS[next((level for level in ("bad", "warning") if level in levels), "good")]


def _finding(problem: Mapping[str, Any]) -> list[str]:
    """Return the lines of a finding: what it is, and in a line of its own the command that mends it."""
    text = f"{_WORDS[problem['level']]} {problem['code']}: {problem['text']}"
    wrapped = textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    # A command is copied: it stays in one line.
    return [*wrapped, f"  {problem['command']}"]


def _summary(status: Mapping[str, Any]) -> str:
    rows = status["components"]
    counts = dict.fromkeys([row["state"] for row in rows], 0)
    for row in rows:
        counts[row["state"]] += 1
    said = ", ".join(f"{number} {state}" for state, number in sorted(counts.items(), key=lambda item: -item[1]))
    hosts = _number(len(status["hosts"]), "host")
    moment = status["time"].replace("T", " ").removesuffix("Z")
    return f"{_word(status)}: {status['site']} at {moment} UTC: {hosts}, {_number(len(rows), 'component')}: {said}."


def airflow_status_text(status: Mapping[str, Any]) -> str:
    """
    Return the status of a site as text: a line of summary, what needs attention, and tables of 110 columns at most.

    Example: `status | airflow_status_text`. It takes the result of airflow_status. Raises AnsibleFilterError on
    anything else.
    """
    try:
        blocks = [textwrap.wrap(_summary(status), _WIDTH)]
        problems = [line for problem in status["problems"] for line in _finding(problem)]
        blocks += [problems or ["Nothing needs attention."]]
        components = [_cells(row) for row in status["components"]]
        blocks += [_table(components, ("restarts", "heartbeat", "slots"))] if components else []
        shared = any(row["shared"] for row in status["components"])
        blocks += [["* with the other workers of the host that have the same queues"]] if shared else []
        queues = [{key: _text(value) for key, value in row.items()} for row in status["queues"]]
        blocks += [_table(queues, ("waiting", "queued", "workers", "slots"))] if queues else []
        certificates = [_certificate_cells(row) for row in status["certificates"]]
        blocks += [_table(certificates, ("days left",))] if certificates else []
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError(f"airflow_status_text: give the result of airflow_status ({error!r})") from error
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _certificate_cells(row: Row) -> dict[str, str]:
    return {
        "certificate": row["service"],
        "host": row["host"] or "(the site)",
        "days left": _text(row["days"]),
        "ends": (row["ends"] or "")[:10],
    }


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    """Add an element with a text, which is escaped when the page is written. A trailing _ of a name is dropped."""
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value}
    element = ET.SubElement(parent, tag, given)
    element.text = text
    return element


def _pill(parent: ET.Element, level: str, word: str) -> None:
    _add(parent, "span", word, class_=f"pill {level}")


def _cell(row: ET.Element, label: str, text: str = "", small: str = "") -> ET.Element:
    """Add a cell that knows its column's name: on a narrow screen there are no columns."""
    cell = _add(row, "td", data_label=label)
    if text:
        _add(cell, "span", text)
    if small:
        _add(cell, "small", small)
    return cell


def _grid(parent: ET.Element, title: str, columns: Sequence[str], cards: bool = True) -> ET.Element:
    """Add a table; on a narrow screen, each of its lines becomes a card, unless it is narrow itself."""
    section = _add(parent, "section")
    _add(section, "h2", title)
    table = _add(section, "table", class_="cards" if cards else "")
    head = _add(_add(table, "thead"), "tr")
    for column in columns:
        _add(head, "th", column, scope="col")
    return table


def _slots_cell(line: ET.Element, row: Row, text: str) -> None:
    cell = _cell(line, "Slots", text, "with other workers" if row["shared"] else "")
    if row["slots"] and row["busy"] is not None:
        _add(cell, "meter", min="0", max=str(row["slots"]), value=str(min(row["busy"], row["slots"])) or "0")


def _component_line(body: ET.Element, row: Row) -> None:
    cells, line = _cells(row), _add(body, "tr")
    name = _add(line, "th", scope="row")
    _add(name, "span", row["component"])
    _add(name, "small", row["unit"].removesuffix(".service"))
    _pill(_cell(line, "State"), row["level"], row["state"])
    _cell(line, "Since (UTC)", cells["since (UTC)"], f"for {_span(row['seconds'])}" if row["since"] else "")
    _cell(line, "Restarts", cells["restarts"])
    _cell(line, "Heartbeat", cells["heartbeat"])
    _slots_cell(line, row, cells["slots"])
    release = _cell(line, "Release", row["version"], row["release"])
    if row["note"]:
        _add(release, "em", row["note"])


def _host_line(body: ET.Element, host: Row) -> None:
    line = _add(body, "tr", class_="host")
    name = _add(line, "th", colspan="7", scope="rowgroup")
    _add(name, "span", host["host"])
    if host["state"] != "reachable":
        _pill(name, "bad", host["state"])
    if host["drained"]:
        _pill(name, "warning", "drained")


def _components_part(page: ET.Element, status: Row) -> None:
    columns = ("Component", "State", "Since (UTC)", "Restarts", "Heartbeat", "Slots", "Release")
    table = _grid(page, "Components", columns)
    for host in status["hosts"]:
        body = _add(table, "tbody")
        _host_line(body, host)
        for row in status["components"]:
            if row["host"] == host["host"]:
                _component_line(body, row)


def _queues_part(page: ET.Element, status: Row) -> None:
    body = _add(_grid(page, "Queues", ("Queue", "Waiting", "Queued", "Workers", "Slots"), cards=False), "tbody")
    for row in status["queues"]:
        line = _add(body, "tr")
        _add(line, "th", row["queue"], scope="row")
        for key in ("waiting", "queued", "workers", "slots"):
            _cell(line, key.capitalize(), _text(row[key]))


def _certificates_part(page: ET.Element, status: Row) -> None:
    body = _add(_grid(page, "Certificates", ("Certificate", "Days left", "Host", "Ends")), "tbody")
    for row in status["certificates"]:
        cells, line = _certificate_cells(row), _add(body, "tr")
        _add(line, "th", row["service"], scope="row")
        days = "no certificate" if row["days"] is None else f"{row['days']} days"
        _pill(_cell(line, "Days left"), row["level"], days)
        _cell(line, "Host", cells["host"])
        _cell(line, "Ends", cells["ends"])


def _charts_part(page: ET.Element, charts: Row) -> None:
    """Add what Prometheus has of the last day; a site without it has no such part."""
    section = _add(page, "section", class_="charts")
    _add(section, "h2", "The last day")
    _add(section, "p", "As Prometheus has it. Times are UTC.")
    span = Span(float(charts["start"]), float(charts["end"]), float(charts["step"]))
    grid = _add(section, "div")
    for definition, answer in zip(charts["charts"], charts["answers"], strict=True):
        grid.append(chart(definition, answer, span))


def _head(page: ET.Element, status: Row) -> None:
    head = _add(page, "header")
    _add(head, "h1", status["site"])
    moment = status["time"].replace("T", " ").replace("Z", " UTC")
    _add(head, "p", f"Airflow with {status['executor']} on {_number(len(status['hosts']), 'host')}, seen at {moment}")
    counts = _add(head, "p", class_="counts")
    for (level, state), number in sorted(_counts(status).items(), key=lambda item: -item[1]):
        _pill(counts, level, f"{number} {state}")
    section = _add(page, "section", class_="problems")
    _add(section, "h2", "What needs attention")
    if not status["problems"]:
        _add(section, "p", "Nothing.")
    listed = _add(section, "ul")
    for problem in status["problems"]:
        line = _add(listed, "li")
        _pill(line, problem["level"], _WORDS[problem["level"]])
        _add(line, "code", problem["code"])
        _add(line, "span", problem["text"])
        _add(line, "code", problem["command"])


def _counts(status: Row) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for row in status["components"]:
        key = (row["level"], row["state"])
        counts[key] = counts.get(key, 0) + 1
    return counts


def airflow_status_html(status: Row, style: str, charts: Row | None = None) -> str:
    """
    Return the status of a site as an HTML page that needs nothing else, with a style sheet in it.

    Example: `status | airflow_status_html(lookup('ansible.builtin.file', 'status.css'))`. It takes the result of
    airflow_status. `charts` has what to draw, `charts`, with the `answers` of Prometheus in the same order, and
    `start`, `end` and `step` of what it was asked for; without it, the page has no charts. All values are escaped.
    Raises AnsibleFilterError on anything else.
    """
    root = ET.Element("html", {"lang": "en"})
    head = _add(root, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "meta", http_equiv="Content-Security-Policy", content=_POLICY)
    try:
        _add(head, "title", f"{status['site']}: status")
        _add(head, "style", style)
        page = _add(_add(root, "body"), "main")
        _head(page, status)
        _components_part(page, status)
        if charts:
            _charts_part(page, charts)
        parts = _add(page, "div", class_="parts")
        for key, part in (("queues", _queues_part), ("certificates", _certificates_part)):
            if status[key]:
                part(parts, status)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"airflow_status_html: give the result of airflow_status ({error!r})") from error
    ET.indent(root)
    return f"<!doctype html>\n{ET.tostring(root, encoding='unicode', method='html')}\n"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_status_text": airflow_status_text, "airflow_status_html": airflow_status_html}
