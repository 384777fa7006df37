"""Every panel of every dashboard has data of a live site, asked as Grafana asks Prometheus.

The site has to be under load for some minutes: DAGs on a schedule, tasks of several queues, one that fails and tries
again, and one that defers.
"""

from __future__ import annotations

import re

import pytest
from airstrip_catalogue import since
from airstrip_grafana import Asked, Times, asked, dashboards, filled, variables
from airstrip_prometheus import Prometheus, PrometheusError, seconds
from airstrip_site import Site

pytestmark = pytest.mark.usefixtures("busy")

BOARDS = dashboards()
QUERIES = [one for name, board in BOARDS.items() for one in asked(name, board)]
# A panel is some hundred pixels wide: Grafana asks for about as many points.
POINTS = 240
VALUES = re.compile(r"label_values\((.+), (\w+)\)")


@pytest.fixture(scope="module")
def scrape(prometheus: Prometheus) -> int:
    """Seconds between two scrapes."""
    return prometheus.scrape_seconds


def times(name: str, scrape: int) -> Times:
    """Return the times of a dashboard as it is opened."""
    span = seconds(BOARDS[name]["time"]["from"].removeprefix("now-"))
    return Times(span, max(span // POINTS, 15), scrape)


def lacks(version: str, expression: str) -> bool:
    """Tell whether a version of Airflow has not all that an expression asks for."""
    numbers = tuple(map(int, version.split(".")[:2]))
    return any(numbers < tuple(map(int, condition.removeprefix(">=").split("."))) for condition in since(expression))


@pytest.mark.parametrize(
    "query", [pytest.param(query, id=f"{number}-{query.place}") for number, query in enumerate(QUERIES)]
)
def test_a_panel_has_data(query: Asked, prometheus: Prometheus, scrape: int, site: Site) -> None:
    given = times(query.dashboard, scrape)
    expression = filled(query.expression, variables(BOARDS[query.dashboard]), given)
    values = prometheus.at_once(expression) if query.instant else prometheus.over(expression, given)
    if lacks(site.variable(site.group("airflow_scheduler")[0], "site_airflow_version"), query.expression):
        # What the catalogue says of versions is true.
        assert values == [], f"this version has it: {expression}"
    else:
        assert values != [], f"no data: {expression}"


@pytest.mark.parametrize("name", BOARDS)
def test_variables_have_values(name: str, prometheus: Prometheus) -> None:
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            match = VALUES.fullmatch(variable["query"]["query"])
            assert match
            assert prometheus.at_once(f"count by ({match[2]}) ({match[1]})")


def test_a_metric_that_does_not_exist_gives_no_data(prometheus: Prometheus) -> None:
    """What the tests above rest on."""
    assert prometheus.at_once("sum(airstrip_no_such_metric)") == []
    assert prometheus.over("airstrip_no_such_metric", Times(600, 15, 30)) == []


def test_wrong_passwords_are_refused(prometheus: Prometheus) -> None:
    stranger = Prometheus(prometheus.url, prometheus.user, "wrong", prometheus.ca_certificate)
    with pytest.raises(PrometheusError, match="HTTP 401"):
        stranger.at_once("up")
