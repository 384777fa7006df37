"""The status of a site as text and as a page."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from airstrip_status import NOW, OLD, THREE, WORKERS, broker, facts, lost, model, rows, seen, unit, unit_of
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError
from site_status import airflow_status
from site_status_views import airflow_status_html, airflow_status_text

STYLE = (PROJECT / "roles" / "status" / "files" / "status.css").read_text(encoding="utf-8")
# Elements without an end.
VOID = {"meta"}


class Page(HTMLParser):
    """The parts of a page: texts by the class of their element, all attributes, and whether all elements end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, str(value)) for name, value in attrs]
        if tag not in VOID:
            self.open.append((tag, str(dict(attrs).get("class", ""))))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1][1] or self.open[-1][0], data.strip()))

    def of(self, kind: str) -> list[str]:
        return [text for found, text in self.texts if found == kind]


def troubled() -> dict[str, Any]:
    """Return a site with something of each kind."""
    site = seen(model(THREE | {"airflow_worker": ["worker", "gone"]}))
    lost(site, "gone")
    site["broker"] = [broker({"default": 2, "big": 0}, ["default@worker", "big@worker"])]
    unit_of(site, "control", "airflow-scheduler").update(active="failed", sub="failed", result="exit-code", restarts=3)
    unit_of(site, "control", "airflow-triggerer").update(release=OLD, age=90061.0, since=NOW - 90061)
    facts(site, "control")["certificates"][1]["ends"] = None
    site["site"]["hosts"]["worker"]["workers"] = [WORKERS[0], WORKERS[1] | {"queues": ["big", "default"]}]
    facts(site, "worker")["drained"] = {"since": "2027-01-15T07:00:00Z", "reason": "new disk"}
    return site


def page(site: dict[str, Any]) -> Page:
    return Page(airflow_status_html(airflow_status(site), STYLE))


def test_the_text_of_a_site_in_which_all_is_well() -> None:
    assert airflow_status_text(airflow_status(seen())).splitlines() == [
        "OK: production at 2027-01-15 08:00:00 UTC: 3 hosts, 8 components: 8 active.",
        "",
        "Nothing needs attention.",
        "",
        "host     component       state   since (UTC)       restarts  heartbeat    slots  release",
        "-------  --------------  ------  ----------------  --------  ---------  -------  ------------------",
        "data     postgresql      active  2027-01-15 07:00         0",
        "data     redis           active  2027-01-15 07:00         0",
        "control  api_server      active  2027-01-15 07:00         0        0 s           3.3.2-ba9876543210",
        "control  triggerer       active  2027-01-15 07:00         0        0 s           3.3.2-ba9876543210",
        "control  scheduler       active  2027-01-15 07:00         0        1 s           3.3.2-ba9876543210",
        "control  dag_processor   active  2027-01-15 07:00         0        3 s           3.3.2-ba9876543210",
        "worker   worker@default  active  2027-01-15 07:00         0        0 s  5 of 16  3.3.2-ba9876543210",
        "worker   worker@big      active  2027-01-15 07:00         0        0 s   0 of 2  3.3.2-ba9876543210",
        "",
        "queue    waiting  queued  workers  slots",
        "-------  -------  ------  -------  -----",
        "big            0       0        1      2",
        "default        2       3        1     16",
    ]


def test_the_text_of_trouble_says_it_first() -> None:
    text = airflow_status_text(airflow_status(troubled()))
    lines = text.splitlines()
    assert lines[0].endswith("4 hosts, 10 components: 7 active, 2 unreachable, 1 failed.")
    assert lines[2] == "ERROR host-unreachable: gone: cannot be reached: No route to host"
    assert lines[3] == "  site.yml --limit '!gone' goes on without it"
    assert re.search(r"^gone +worker@default +unreachable +0 of 16$", text, re.MULTILINE)
    assert re.search(r"^worker +worker@big +active .* 5 of 18\* ", text, re.MULTILINE)
    assert "* with the other workers of the host that have the same queues" in lines
    assert re.search(r"^authority +\(the site\) +\d+ +20\d\d-\d\d-\d\d$", text, re.MULTILINE)
    assert re.search(r"^api_server +control +\?$", text, re.MULTILINE)


@pytest.mark.parametrize("length", [3, 12, 63])
def test_the_text_is_narrow_whatever_the_names(length: int) -> None:
    end = "-" + "x" * length
    site = seen(model({group: [host + end for host in hosts] for group, hosts in THREE.items()}))
    lost(site, "control" + end, "word " * 60)
    for part in site["site"]["hosts"]["worker" + end]["status"]["parts"]:
        part["name"] += "y" * length
    status = airflow_status(site)
    lines = airflow_status_text(status).splitlines()
    commands = [problem["command"] for problem in status["problems"]]
    assert len(commands) == 3
    assert max(len(line) for line in lines if line.strip() not in commands) <= 110
    assert any(line.startswith("worker-x") for line in lines)


def test_a_site_without_hosts_is_said_as_such() -> None:
    empty = airflow_status(seen(answers={}, setups={}))
    assert airflow_status_text(empty).startswith("OK: production at 2027-01-15 08:00:00 UTC: 0 hosts, 0 components")
    assert Page(airflow_status_html(empty, STYLE)).of("h1") == ["production"]


def test_the_page_shows_each_state_by_colour_and_word() -> None:
    found = page(troubled())
    assert found.of("pill good").count("active") == 7
    assert [text for text in found.of("pill bad") if text in ("failed", "unreachable")] == [
        "failed", "unreachable", "unreachable", "unreachable",
    ]  # fmt: skip
    assert "drained" in found.of("pill warning")
    assert {"7 active"} <= set(found.of("pill good"))
    assert {"ERROR"} <= set(found.of("pill bad"))
    assert all(f".{level} " in STYLE for level in ("good", "warning", "bad"))


def test_the_page_shows_what_the_text_shows() -> None:
    status = airflow_status(troubled())
    shown = [text for _, text in Page(airflow_status_html(status, STYLE)).texts]
    assert {problem["text"] for problem in status["problems"]} <= set(shown)
    for row in status["components"]:
        assert {row["component"], row["state"], row["unit"].removesuffix(".service") or row["state"]} <= set(shown)
        assert {row["release"], row["note"]} <= {*shown, ""}
    assert {"for 1 d 1 h", "5 of 18*", "with other workers", "no certificate"} <= set(shown)
    assert {queue["queue"] for queue in status["queues"]} <= set(shown)


def test_the_page_needs_nothing_else() -> None:
    text = airflow_status_html(airflow_status(troubled()), STYLE)
    found = Page(text)
    assert text.startswith("<!doctype html>\n<html ")
    assert not {name for _, name, _ in found.attributes} & {"src", "href", "action", "srcset", "style"}
    assert not {tag for tag, _, _ in found.attributes} & {"script", "link", "img", "iframe"}
    assert not re.search(r"url\(|@import|//", STYLE)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes
    assert ("meta", "content", "width=device-width, initial-scale=1") in found.attributes
    assert "prefers-color-scheme: dark" in text


def test_no_value_can_break_the_page() -> None:
    evil = "</style><script>alert('1')</script>\"&amp;"
    site = seen(model(THREE | {"airflow_worker": ["worker", evil]}), name=evil)
    site["site"]["vars"]["executor"] += evil
    lost(site, "control", evil)
    facts(site, "worker")["drained"] = {"since": "2027-01-15T07:00:00Z", "reason": evil}
    facts(site, evil)["units"] = [unit("airflow-worker@default", release=evil)]
    rows(site)[2].append({"queue": evil, "tasks": 1})
    found = page(site)
    assert not [tag for tag, _, _ in found.attributes if tag == "script"]
    assert found.of("h1") == [evil]
    assert evil in [text for _, text in found.texts if text == evil]
    assert f"{evil} cannot be reached" not in found.of("span")
    assert any(text.startswith(f"worker: drained since 2027-01-15T07:00:00Z: {evil}") for text in found.of("span"))


@pytest.mark.parametrize("given", [None, [], {}, {"site": "a", "time": "b"}])
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="give the result of airflow_status"):
        airflow_status_text(given)
    with pytest.raises(AnsibleFilterError, match="give the result of airflow_status"):
        airflow_status_html(given, STYLE)
