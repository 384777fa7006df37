"""The charts of the status page: numbers, times, gaps, words for those who do not see them, and what is not there."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from airstrip_catalogue import problems
from airstrip_promql import grouped
from airstrip_status import THREE, model, seen
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.status_charts import LINES, UNITS, Span, chart, lines, ticks
from site_status import airflow_status
from site_status_views import airflow_status_html

CHARTS = yaml.safe_load((PROJECT / "roles" / "status" / "files" / "charts.yml").read_text(encoding="utf-8"))
# Midnight, UTC.
START = 1_700_006_400.0
STEP = 600.0
DAY = Span(START, START + 86400, STEP)
QUEUES = next(entry for entry in CHARTS if entry["name"] == "queues")


def answer(*series: tuple[dict[str, str], list[Any]], step: float = STEP) -> dict[str, Any]:
    """Return what Prometheus answers; a value of None is a sample that is missing."""
    result = [
        {"metric": labels, "values": [[START + step * i, str(v)] for i, v in enumerate(values) if v is not None]}
        for labels, values in series
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def drawn(*series: tuple[dict[str, str], list[Any]], **own: Any) -> ET.Element:
    return chart(QUEUES | own, answer(*series), DAY)


def texts(figure: ET.Element, path: str) -> list[str]:
    return [element.text or "" for element in figure.findall(path)]


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("count", 0, "0"),
        ("count", 7, "7"),
        ("count", 0.25, "0.25"),
        ("count", 1200, "1.2 k"),
        ("count", 250_000, "250 k"),
        ("bytes", 999, "999 B"),
        ("bytes", 24_024_755, "24 MB"),
        ("bytes", 1_240_000_000, "1.24 GB"),
        ("share", 0.456, "46 %"),
        ("seconds", 0, "0 s"),
        ("seconds", 0.05, "50 ms"),
        ("seconds", 42.5, "42.5 s"),
        ("seconds", 90, "1.5 min"),
        ("seconds", 7200, "2 h"),
        ("seconds", 200_000, "2.31 d"),
    ],
)
def test_numbers_have_units(unit: str, value: float, text: str) -> None:
    assert UNITS[unit](value) == text


@pytest.mark.parametrize(
    ("highest", "unit", "found"),
    [
        (0, "count", [0, 1]),
        (3, "count", [0, 1, 2, 3]),
        (130, "count", [0, 50, 100, 150]),
        (0.3, "count", [0, 0.1, 0.2, 0.3]),
        (0.3, "share", [0, 0.25, 0.5, 0.75, 1]),
        (100, "seconds", [0, 30, 60, 90, 120]),
        (0.04, "seconds", [0, 0.01, 0.02, 0.03, 0.04]),
        (3 * 86400 * 100, "seconds", [0, 1e7, 2e7, 3e7]),
        (24e6, "bytes", [0, 1e7, 2e7, 3e7]),
    ],
)
def test_the_grid_has_round_numbers(highest: float, unit: str, found: list[float]) -> None:
    assert ticks(highest, unit) == pytest.approx(found)


def test_lines_are_where_the_numbers_say() -> None:
    figure = drawn(({"queue": "default"}, [0, 50, 100] + 142 * [0]))
    line = figure.find(".//polyline[@class='line line-0']")
    assert line is not None
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    numbers = {element.text: float(element.attrib["y"]) - 4 for element in figure.iter("text")}
    # As high as the line of the grid with that number.
    assert [places[0][1], places[1][1], places[2][1]] == [numbers["0"], numbers["50"], numbers["100"]]
    # The highest number is at the top, and 0 at the bottom.
    verticals = [element for element in figure.iter("line") if element.attrib["x1"] == element.attrib["x2"]]
    assert (numbers["100"], numbers["0"]) == (float(verticals[0].attrib["y1"]), float(verticals[0].attrib["y2"]))
    # From the left end to the right one.
    grid = figure.find(".//line")
    assert grid is not None
    assert (places[0][0], places[-1][0]) == (float(grid.attrib["x1"]), float(grid.attrib["x2"]))
    assert len(places) == 145


def test_times_stand_below() -> None:
    found = [text for text in texts(drawn(({"queue": "a"}, [1])), ".//text") if ":" in text]
    assert found == ["00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00", "00:00"]
    # Whole hours, whenever it was asked.
    later = Span(START + 1234, START + 1234 + 86400, STEP)
    found = texts(chart(QUEUES, answer(({"queue": "a"}, [None, None, None, 1])), later), ".//text")
    assert [text for text in found if ":" in text][:2] == ["03:00", "06:00"]


def test_where_samples_are_missing_there_is_no_line() -> None:
    figure = drawn(({"queue": "a"}, [1, 2, None, 3, None, 4, "NaN", 5, 6]))
    pieces = [len(element.attrib["points"].split()) for element in figure.findall("svg/polyline")]
    # Samples that stand alone are dots.
    assert (pieces, len(figure.findall("svg/circle"))) == ([2, 2], 2)


def test_it_says_in_words_what_it_shows() -> None:
    figure = drawn(({"queue": "default"}, [0, 120, 7]), ({"queue": "reports"}, [0, 0, 0]))
    svg = figure.find("svg")
    assert svg is not None
    assert svg.attrib["role"] == "img"
    words = {element.attrib["id"]: element.text for element in svg if element.tag in {"title", "desc"}}
    assert [words[name] for name in svg.attrib["aria-labelledby"].split()] == [
        "Queued tasks",
        "default: 7 at the end, 120 at most, at 00:10 UTC. reports: 0 at the end, 0 at most, at 00:00 UTC.",
    ]
    assert texts(figure, "figcaption") == ["Queued tasks"]
    assert texts(figure, ".//li/span") == ["default", "reports"]
    assert texts(figure, ".//li/small") == ["7, peak 120", "0, peak 0"]


def test_the_highest_lines_are_shown() -> None:
    series = [({"queue": f"q{number}"}, [number]) for number in range(LINES + 3)]
    figure = drawn(*series)
    assert texts(figure, ".//li/span") == [f"q{number}" for number in range(3, LINES + 3)]
    assert texts(figure, ".//li/small")[-1] == "and 3 more with lower peaks"
    assert "3 more with lower peaks are not shown." in "".join(texts(figure, ".//desc"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Prometheus did not answer."),
        ({"status": "error", "error": "query timed out"}, "Prometheus refused: query timed out"),
        (answer(), "Prometheus has no data of this yet."),
        (answer(({"queue": "a"}, ["NaN", "+Inf"])), "Prometheus has no data of this yet."),
    ],
)
def test_without_data_it_says_why(given: dict[str, Any], said: str) -> None:
    figure = chart(QUEUES, given, DAY)
    assert texts(figure, "p") == [said]
    assert figure.find("svg") is None


def test_a_series_without_the_label_is_that_of_all() -> None:
    assert [line.name for line in lines(answer(({}, [1])), "queue")] == ["all"]


def page(charts: dict[str, Any] | None) -> str:
    return airflow_status_html(airflow_status(seen(model(THREE))), "", charts)


def of_the_day(answers: list[Any]) -> dict[str, Any]:
    return {"charts": CHARTS, "answers": answers, "start": START, "end": START + 86400, "step": STEP}


def test_the_page_has_a_chart_for_each_question() -> None:
    text = page(of_the_day([answer(({entry["label"]: "<b>&"}, [0.5])) for entry in CHARTS]))
    assert re.findall(r"<figcaption>(.*)</figcaption>", text) == [entry["title"] for entry in CHARTS]
    assert text.count('role="img"') == len(CHARTS)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len({*ids}) == 2 * len(CHARTS)
    # Names are escaped, and nothing is run.
    assert "<b>" not in text
    assert "<script" not in text


def test_a_site_without_prometheus_has_no_charts() -> None:
    assert page(None) == page({})
    assert "The last day" not in page(None)
    assert "The last day" in page(of_the_day([{} for _ in CHARTS]))


@pytest.mark.parametrize(
    "charts", [{"charts": CHARTS}, of_the_day([]), of_the_day([{"status": "success"}] * len(CHARTS))]
)
def test_what_is_no_answer_is_refused(charts: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="airflow_status_html"):
        page(charts)


@pytest.mark.parametrize("entry", CHARTS, ids=[entry["name"] for entry in CHARTS])
def test_what_a_chart_asks_for_exists(entry: dict[str, str]) -> None:
    assert [*problems(entry["query"])] == []
    assert entry["label"] in grouped(entry["query"])
    assert entry["unit"] in UNITS


def test_styles_have_a_colour_for_each_line() -> None:
    style = (PROJECT / "roles" / "status" / "files" / "status.css").read_text(encoding="utf-8")
    for number in range(LINES):
        assert style.count(f"--line-{number}: #") == 2, "in light and dark"
        assert f".line-{number} {{ stroke: var(--line-{number})" in style
