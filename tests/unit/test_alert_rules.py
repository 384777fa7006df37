"""Each alert is complete, tested and explained, and asks for what is there.

Whether it fires when it should is for promtool: tests/testinfra/test_alert_rules.py, on the monitoring host.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from airstrip_alerts import CATALOGUE, SEVERITIES, TESTS, Alert, Case, alerts, cases, metrics, rendered, rows
from ansible_collections.airstrip.core.plugins.module_utils.host_status import KINDS

# What our own playbooks never cause, and what nobody may miss meanwhile.
LOUD = {
    "AlertmanagerUnreached", "AlertsUndelivered", "BackupOld", "BrokerFull", "CertificateEnds", "CertificateEndsNow",
    "ClockWrong", "ConfigurationRefused", "ConnectionsHigh", "DiskEnds", "DiskFull", "DiskLow", "HighRetryRate",
    "HealedOften", "HighWorkerFailureRate", "HostDrained", "ImportErrors", "JobMissing", "MemoryKilled", "MemoryLow",
    "PoolStarved", "RuleFailed", "ScaleHookFailed", "Watchdog",
}  # fmt: skip

Check = Callable[[list[Alert], Iterable[Case], set[str]], Iterator[str]]


@pytest.fixture(name="files", scope="module")
def fixture_files() -> dict[str, str]:
    return rendered()


def names_are_used_once(found: list[Alert], _: Iterable[Case], __: set[str]) -> Iterator[str]:
    names = [alert.name for alert in found]
    yield from (f"{name}: two alerts of this name" for name in set(names) if names.count(name) > 1)


def alerts_are_complete(found: list[Alert], _: Iterable[Case], __: set[str]) -> Iterator[str]:
    for alert in found:
        labels, annotations = alert.rule.get("labels", {}), alert.rule.get("annotations", {})
        if labels.get("severity") not in SEVERITIES:
            yield f"{alert.name}: its severity is {labels.get('severity')}"
        yield from (f"{alert.name}: no {key}" for key in ("owner", "code") if not labels.get(key))
        yield from (
            f"{alert.name}: no {key}" for key in ("summary", "description", "runbook") if not annotations.get(key)
        )
        if not str(annotations.get("runbook")).endswith(f"#{labels.get('code')}"):
            yield f"{alert.name}: its runbook is that of another code"


def alerts_are_tested(found: list[Alert], expected: Iterable[Case], _: set[str]) -> Iterator[str]:
    expected = list(expected)
    for alert in found:
        said = {case.fires for case in expected if case.alert == alert.name}
        if True not in said:
            yield f"{alert.name}: no test in which it fires"
        # The one that fires always.
        if False not in said and alert.name != "Watchdog":
            yield f"{alert.name}: no test in which it does not fire"
    for name in {case.alert for case in expected} - {alert.name for alert in found}:
        yield f"{name}: tested, and no alert"


def alerts_are_explained(found: list[Alert], _: Iterable[Case], explained: set[str]) -> Iterator[str]:
    for alert in found:
        yield from (f"{alert.name}: no row for {code}" for code in sorted(alert.codes - explained))
    used = {code for alert in found for code in alert.codes}
    yield from (f"{code}: a row, and no alert has this code" for code in sorted(explained - used))


def metrics_are_known(found: list[Alert], _: Iterable[Case], __: set[str]) -> Iterator[str]:
    for alert in found:
        for name in sorted(alert.metrics):
            if not CATALOGUE.fullmatch(name):
                yield f"{alert.name}: no program gives {name}"


def values_are_in_reach(found: list[Alert], _: Iterable[Case], __: set[str]) -> Iterator[str]:
    """An annotation that names a label which its expression drops has a hole in it."""
    for alert in found:
        kept = re.search(r"^(?:max|min|sum) by \(([^)]*)\)", alert.rule["expr"])
        given = set(re.findall(r"\$labels\.(\w+)", str(alert.rule["annotations"])))
        lost = given - set(re.split(r",\s*", kept[1])) if kept else set()
        yield from (f"{alert.name}: it has no label {name}" for name in sorted(lost))


CHECKS: list[Check] = [
    names_are_used_once,
    alerts_are_complete,
    alerts_are_tested,
    alerts_are_explained,
    metrics_are_known,
    values_are_in_reach,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_alerts_keep_the_rule(check: Check, files: dict[str, str]) -> None:
    expected = [case for file in files for case in cases(file)]
    problems = "\n".join(check(alerts(files), expected, rows()))
    assert not problems, problems


def test_each_file_has_its_tests(files: dict[str, str]) -> None:
    assert files.keys() == {path.name for path in TESTS.glob("*")}
    for name in files:
        assert f"rule_files: [rules/{name}]\n" in (TESTS / name).read_text(encoding="utf-8")


GOOD = Alert(
    "a.yml",
    "Slow",
    {
        "alert": "Slow",
        "expr": "max by (queue) (celery_queue_length) > 1",
        "labels": {"severity": "warning", "owner": "platform", "code": "slow"},
        "annotations": {"summary": "{{ $labels.queue }}", "description": "b", "runbook": "page.md#slow"},
    },
)
TESTED = [Case("Slow", True), Case("Slow", False)]


def but(**changes: Any) -> Alert:
    return replace(GOOD, rule={**GOOD.rule, **changes})


@pytest.mark.parametrize(
    ("check", "found", "expected", "explained", "message"),
    [
        (names_are_used_once, [GOOD, GOOD], TESTED, {"slow"}, "two alerts"),
        (alerts_are_complete, [but(labels={**GOOD.rule["labels"], "severity": "page"})], [], set(), "severity is page"),
        (alerts_are_complete, [but(labels={"severity": "info", "code": "slow"})], [], set(), "no owner"),
        (alerts_are_complete, [but(annotations={**GOOD.rule["annotations"], "summary": ""})], [], set(), "no summary"),
        (
            alerts_are_complete,
            [but(annotations={**GOOD.rule["annotations"], "runbook": "page.md#fast"})],
            [],
            set(),
            "of another code",
        ),
        (alerts_are_tested, [GOOD], TESTED[:1], set(), "in which it does not fire"),
        (alerts_are_tested, [GOOD], TESTED[1:], set(), "in which it fires"),
        (alerts_are_tested, [GOOD], [*TESTED, Case("Fast", True)], set(), "Fast: tested, and no alert"),
        (alerts_are_explained, [GOOD], [], set(), "no row for slow"),
        (alerts_are_explained, [GOOD], [], {"slow", "fast"}, "fast: a row"),
        (metrics_are_known, [but(expr="celery_queue_size > 1")], [], set(), "no program gives celery_queue_size"),
        (values_are_in_reach, [but(expr="max by (pool) (airflow_pool_slots)")], [], set(), "no label queue"),
    ],
)
def test_a_breach_is_found(
    check: Check, found: list[Alert], expected: list[Case], explained: set[str], message: str
) -> None:
    problems = list(check(found, expected, explained))
    assert len(problems) == 1
    assert message in problems[0]
    assert not list(check([GOOD], TESTED, {"slow"}))


def test_metrics_are_told_from_the_words_of_the_language() -> None:
    expression = """
    max by (queue) (rate(a_total{queue!="b\\"c", job=~"d|e"}[5m])) > 0.1
    and on (queue) max without (instance, job) (max_over_time(f:g_h[1d])) >= bool 1e3
    or absent(up{job="x"} == 1) unless i offset 5m
    """
    assert metrics(expression) == {"a_total", "f:g_h", "up", "i"}


def test_codes_of_the_status_are_those_of_the_alerts(files: dict[str, str]) -> None:
    """What both find has one name; what only status.yml can find has no alert."""
    codes = {code for alert in alerts(files) for code in alert.codes}
    assert set(KINDS) - codes == {"releases-differ"}


def test_what_playbooks_may_cause_can_be_silenced(files: dict[str, str]) -> None:
    loud = {alert.name for alert in alerts(files) if "maintenance" not in alert.rule["labels"]}
    assert loud == LOUD
    assert {alert.rule["labels"].get("maintenance", "quiet") for alert in alerts(files)} == {"quiet"}


def rule(files: dict[str, str], name: str) -> Any:
    return next((alert.rule for alert in alerts(files) if alert.name == name), None)


def test_an_alert_is_what_the_site_wants(files: dict[str, str]) -> None:
    changes = {
        "PoolStarved": {"enabled": False},
        "WorkerQueueBacklog": {"severity": "critical", "owner": 'the "data" team', "for": "1h"},
    }
    changed = rendered(
        {"prometheus_alerts": changes, "prometheus_alert_owner": "ops", "prometheus_runbook_url": "http://x"}
    )
    assert rule(changed, "PoolStarved") is None
    backlog = rule(changed, "WorkerQueueBacklog")
    assert (backlog["labels"]["severity"], backlog["labels"]["owner"], backlog["for"]) == (
        "critical", 'the "data" team', "1h",
    )  # fmt: skip
    assert backlog["annotations"]["runbook"] == "http://x#queue-backlog"
    assert rule(changed, "DiskLow")["labels"]["owner"] == "ops"
    assert len(alerts(changed)) == len(alerts(files)) - 1


def test_a_queue_has_a_limit_of_its_own() -> None:
    limits = {"reports": 500, 'odd"name': 1}
    expr = rule(rendered({"prometheus_queue_limits": limits}), "WorkerQueueBacklog")["expr"]
    assert [line for line in expr.splitlines() if line] == [
        r'max by (queue) (last_over_time(celery_queue_length{queue!="odd\"name", queue!="reports"}[2m])) > 100',
        r'or max by (queue) (last_over_time(celery_queue_length{queue="odd\"name"}[2m])) > 1',
        'or max by (queue) (last_over_time(celery_queue_length{queue="reports"}[2m])) > 500',
    ]


def test_no_window_is_shorter_than_the_gaps(files: dict[str, str]) -> None:
    """By the variable alone: a site that scrapes more rarely sets it, and no alert goes blind."""
    longer = rendered({"prometheus_alert_gap": "10m"})
    # What workers follow is sampled as often as its own variable says.
    texts = [text for name, text in longer.items() if name != "scale.yml"]
    windows = {window for text in texts for window in re.findall(r"\[(\d+[smhd])\]", text)}
    assert windows <= {"5m", "10m", "1h", "6h"}
    assert any("[2m]" in text for text in files.values())
