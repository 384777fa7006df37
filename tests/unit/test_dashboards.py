"""Dashboards: the files are what the code makes, Grafana's models take them, and what they ask for exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_catalogue import catalogue, problems
from airstrip_grafana import DIRECTORY, Times, asked, dashboards, filled, panels, variables
from airstrip_promql import Selected, grouped, selected
from airstrip_tree import PROJECT
from grafana_foundation_sdk.models.dashboard import Dashboard

BOARDS = dashboards()
TIMES = Times(span=3600, step=15, scrape=30)
# What Grafana itself replaces in a legend, and the functions that variables are queried by.
LABEL = re.compile(r"\{\{(\w+)\}\}")
VALUES = re.compile(r"label_values\((.+), (\w+)\)")
# Made by expressions: by no series.
MADE = frozenset({"le"})


def shown(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels that show something."""
    yield from (panel for panel in panels(dashboard) if panel["type"] not in {"row", "text"})


def copied(root: Path) -> None:
    """Copy what bin/dashboards reads and writes to another tree."""
    for name in ("bin", "dashboards", "docs", "roles/grafana", "roles/prometheus/files"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(root / "bin" / "dashboards"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_files_are_what_the_code_makes() -> None:
    found = run(PROJECT, "--check")
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("change", ["dashboard", "more", "page", "no place"])
def test_a_file_that_is_not_what_the_code_makes_is_found_and_made_anew(change: str, tmp_path: Path) -> None:
    copied(tmp_path)
    files = tmp_path / "roles" / "grafana" / "files" / "dashboards"
    page = tmp_path / "docs" / "monitoring-dashboards.md"
    place = {"dashboard": files / "site.json", "more": files / "old.json", "page": page, "no place": page}[change]
    text = place.read_text(encoding="utf-8") if place.exists() else ""
    old, new = {
        "dashboard": ("airflow_task_instances", "airflow_tasks"),
        "more": ("", "{}"),
        "page": ("Oldest queued task", "Oldest task"),
        "no place": ("<!-- end of dashboards -->", ""),
    }[change]
    place.write_text(text.replace(old, new), encoding="utf-8")
    said = run(tmp_path, "--check")
    assert said.returncode == 1
    assert str(place.relative_to(tmp_path)) in said.stderr
    if change != "no place":
        assert run(tmp_path).returncode == 0
        assert run(tmp_path, "--check").returncode == 0


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_models_take_it(name: str) -> None:
    path = DIRECTORY / f"{name}.json"
    given = json.loads(path.read_text(encoding="utf-8"))
    read = Dashboard.from_json(given)
    assert read.uid == f"airstrip-{name}"
    assert len(read.panels or []) == len(given["panels"])
    assert read.editable is False


@pytest.mark.parametrize("name", BOARDS)
def test_each_panel_says_which_question_it_answers(name: str) -> None:
    for panel in shown(BOARDS[name]):
        assert panel["title"], panel
        assert panel["description"].strip() != panel["title"], panel["title"]
        assert "?" in panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    titles = [panel["title"] for panel in shown(BOARDS[name])]
    assert len(titles) == len({*titles})
    ids = [panel["id"] for panel in panels(BOARDS[name])]
    assert len(ids) == len({*ids})


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_side_by_side(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(BOARDS[name]):
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


def expressions(name: str) -> Iterator[tuple[str, str]]:
    """Yield each expression of a dashboard with its place: those of its variables and marks, too."""
    board = BOARDS[name]
    for one in asked(name, board):
        yield one.place, one.expression
    for mark in board["annotations"]["list"]:
        yield f"{name}: {mark['name']}", mark["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = VALUES.fullmatch(variable["query"]["query"])
            assert match, variable
            yield f"{name}: variable {variable['name']}", match[1]


@pytest.mark.parametrize("name", BOARDS)
def test_what_it_asks_for_exists(name: str) -> None:
    values = variables(BOARDS[name])
    found = [
        f"{place}: {problem}"
        for place, expression in expressions(name)
        for problem in problems(filled(expression, values, TIMES))
    ]
    assert found == []


@pytest.mark.parametrize("name", BOARDS)
def test_legends_and_groups_have_labels_that_there_are(name: str) -> None:
    for panel in shown(BOARDS[name]):
        for target in panel["targets"]:
            names = {one.metric for one in selected(filled(target["expr"], variables(BOARDS[name]), TIMES))}
            labels = {"instance", "job", *MADE}.union(*(catalogue()[metric].labels for metric in names))
            used = {*grouped(target["expr"]), *LABEL.findall(target.get("legendFormat", ""))}
            assert used <= labels, f"{panel['title']}: {used - labels}"


@pytest.mark.parametrize("name", BOARDS)
def test_variables_are_used_and_there(name: str) -> None:
    text = json.dumps([panel.get("targets", []) for panel in panels(BOARDS[name])])
    there = {*variables(BOARDS[name])}
    used = {word for word in re.findall(r"\$\{?(\w+)", text) if not word.startswith("__")}
    assert used == there


def test_they_have_the_variables_that_people_choose_by() -> None:
    assert {"datasource", "instance", "queue", "dag"} <= {
        name for board in BOARDS.values() for name in variables(board)
    }


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a", [("a", [])]),
        ('a{x="1", y!~"b{2}"}', [("a", ["x", "y"])]),
        ("sum by (x) (rate(a_total{x=~'.*'}[5m]))", [("a_total", ["x"])]),
        ("sum(a) without (x) / on (y) group_left (z) b", [("a", []), ("b", [])]),
        ("a offset 5m > bool 1 or b{} unless vector(0)", [("a", []), ("b", [])]),
        ("max_over_time((a > 0)[1h:5m])", [("a", [])]),
        ("topk(10, a) # b\n and c @ end()", [("a", []), ("c", [])]),
        ("job:a:rate5m * 2e3 + NaN - Inf", [("job:a:rate5m", [])]),
        ("histogram_quantile(0.9, sum by (le) (a_bucket{le!='+Inf'}))", [("a_bucket", ["le"])]),
    ],
)
def test_names_are_found_in_an_expression(expression: str, found: list[tuple[str, list[str]]]) -> None:
    assert [*selected(expression)] == [Selected(metric, frozenset(labels)) for metric, labels in found]


def test_groups_are_found_in_an_expression() -> None:
    assert [*grouped("sum by (a, b) (x) / on(c) group_left y")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("rate(airflow_tasks_total[5m])", "airflow_tasks_total is in no job"),
        ('sum(airflow_dag_runs{state="queued", queue="default"})', "airflow_dag_runs has no label queue"),
        # A histogram is asked for by its parts.
        ("worker_task_duration_seconds", "worker_task_duration_seconds is in no job"),
        ('worker_task_duration_seconds_sum{le="1"}', "worker_task_duration_seconds_sum has no label le"),
    ],
)
def test_a_name_that_does_not_exist_is_found(expression: str, problem: str) -> None:
    assert [said.startswith(problem) for said in problems(expression)] == [True]


def test_recorded_names_exist() -> None:
    assert [*problems("queue:depth + up", frozenset({"queue:depth"}))] == []


def test_variables_are_replaced_as_grafana_does() -> None:
    values = {"queue": ".*"}
    assert filled('a{queue=~"$queue"}[$__rate_interval]', values, TIMES) == 'a{queue=~".*"}[120s]'
    assert filled("a[${__rate_interval}]", values, Times(86400, 300, 30)) == "a[330s]"
    assert filled("a[$__range:$__interval] * $__range_s", values, TIMES) == "a[3600s:15s] * 3600"
    with pytest.raises(KeyError):
        filled("a[$__other]", values, TIMES)
