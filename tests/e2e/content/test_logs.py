"""Logs of the site reach a company's server as OpenSearch and Loki have them, and nothing is lost while it is away."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import testinfra
from airstrip_site import Site

DIRECTORY = "/var/lib/company-logs"
UNITS = ("airstrip-log-shipper@search.service", "airstrip-log-shipper@loki.service")
PATHS = ("/_bulk", "/loki/api/v1/push")
EXPOSURE = 1.4


@pytest.fixture(scope="module")
def company(site: Site) -> Any:
    return testinfra.get_host(site.connection(site.group("company")[0]))


def lines(company: Any, text: str, path: str) -> list[dict[str, Any]]:
    """Return the lines that have come by a path, and have a text in them."""
    found = company.run(f"grep --fixed-strings -- {shlex.quote(text)} {DIRECTORY}/lines").stdout
    return [line for line in map(json.loads, found.splitlines()) if line["_path"] == path]


def eventually(answer: Callable[[], Any], seconds: float = 60) -> Any:
    """Return an answer when it is one; fail if there is none in time."""
    end = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(1)
    return found


def arrived(company: Any, text: str, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = eventually(lambda: lines(company, text, path))
    return found


def test_the_scheduler_s_lines_come_with_their_fields(company: Any, site: Site) -> None:
    name = site.group("airflow_scheduler")[0]
    for path in PATHS:
        unit = {"unit": "airflow-scheduler.service", "host": name}
        found = arrived(company, "airflow-scheduler.service", path)
        assert any(line.items() >= unit.items() for line in found)
    searched = lines(company, "airflow-scheduler.service", PATHS[0])[0]
    assert searched["labels"] == {"site": "content"}
    assert searched["_index"] == "logs-airstrip-default"
    pushed = lines(company, "airflow-scheduler.service", PATHS[1])[0]
    assert (pushed["site"], pushed["_tenant"]) == ("content", "airflow")


def test_a_line_of_json_has_its_fields_and_any_text_arrives_as_it_is(company: Any, node: Any) -> None:
    mark, other = uuid4().hex, uuid4().hex
    said = json.dumps({"level": "warning", "event": mark, "dag_id": "sales", "try_number": 2})
    text = other + ' "quoted" \\ $HOST `id` \t ü'
    for line in (said, text):
        node.check_output(f"printf '%s\\n' {shlex.quote(line)} | systemd-cat --identifier=test --priority=err")
    for path in PATHS:
        (found,) = arrived(company, mark, path)
        assert (found["message"], found["level"], found["unit"]) == (said, "warning", "test")
        (plain,) = arrived(company, other, path)
        assert (plain["message"], plain["level"]) == (text, "error")
    (searched,) = lines(company, mark, "/_bulk")
    assert (searched["dag_id"], searched["try_number"]) == ("sales", "2")


@pytest.mark.parametrize("away", ["stopped", "401", "404", "429", "503"])
def test_what_is_said_while_it_is_away_comes_once_it_is_back(company: Any, node: Any, away: str) -> None:
    stops = away == "stopped"
    mark = f"said-while-{away}-{uuid4().hex}"
    company.check_output("systemctl stop company-logs" if stops else f"echo {away} >{DIRECTORY}/code")
    try:
        node.check_output(f"logger --tag test {mark}")
        time.sleep(15)
        # One that is killed meanwhile goes on where it was.
        node.check_output(f"systemctl kill --signal=KILL {UNITS[0]}")
        assert not lines(company, mark, "/_bulk")
    finally:
        company.check_output("systemctl start company-logs" if stops else f"rm {DIRECTORY}/code")
    for path in PATHS:
        assert len(arrived(company, mark, path)) == 1


def test_a_batch_that_is_refused_for_good_holds_up_no_other(company: Any, node: Any) -> None:
    refused, after = uuid4().hex, uuid4().hex
    company.check_output(f"echo 400 >{DIRECTORY}/code")
    node.check_output(f"logger --tag test {refused}")
    time.sleep(5)
    company.check_output(f"rm {DIRECTORY}/code")
    node.check_output(f"logger --tag test {after}")
    for path in PATHS:
        arrived(company, after, path)
        assert not lines(company, refused, path)
    assert not company.file(f"{DIRECTORY}/refused").exists, "a request that is none of OpenSearch's or Loki's"


def test_the_login_is_hidden_and_the_units_are_closed(node: Any) -> None:
    for target in ("search", "loki"):
        path = f"/etc/airstrip/log-shipper/{target}"
        assert node.check_output(f"stat --format='%U %a' {path}.login") == "root 600"
        assert "password" not in node.file(f"{path}.conf").content_string
    for unit in UNITS:
        level = node.check_output(f"systemd-analyze security {unit} | tail -n 1")
        assert float(level.split(":")[1].split()[0]) <= EXPOSURE, level
    assert not node.service("syslog-ng").is_running
    assert not node.service("syslog-ng").is_enabled
