"""What is refused of the variables of monitoring."""

from typing import Any

import pytest
from monitoring import monitoring_problems

RULES = "groups: [{name: a, rules: [{alert: A, expr: up == 0}, {record: b, expr: 1}]}]"
GOOD: dict[str, Any] = {
    "endpoints": [
        {"name": "app", "targets": ["app.example.com:9000", "[2001:db8::1]:9000"], "labels": {"team": "a"}},
        {"name": "near", "targets": ["127.0.0.1:9000"], "scheme": "http"},
        {"name": "far", "targets": ["192.0.2.1:9000"], "scheme": "http", "plain_allowed": True},
    ],
    "jobs": ["node"],
    "rule_files": {"/c/a.yml": RULES},
    "retention_mb": 5120,
    "mounts": [{"mount": "/", "size_total": 50_000_000_000}, {"mount": "/boot", "size_total": 1_000_000}],
    "labels": {"site": "production"},
}
APP = {"name": "app", "targets": ["a:1"]}


def test_what_works_is_not_refused() -> None:
    assert monitoring_problems(GOOD) == []


@pytest.mark.parametrize(
    ("changed", "found", "remedy"),
    [
        ({"endpoints": [{"targets": ["a:1"]}]}, "entry 1 has no name", "Give it a name"),
        ({"endpoints": [APP | {"name": "node"}]}, "node has the name of another job", "Give it a name"),
        ({"endpoints": [APP, APP]}, "app has the name of another job", "Give it a name"),
        ({"endpoints": [APP | {"targets": []}]}, "app has no targets", "Set `targets`"),
        ({"endpoints": [APP | {"targets": "a:1"}]}, "app has no targets", "Set `targets`"),
        ({"endpoints": [APP | {"targets": ["a"]}]}, "the target 'a'", "HOST:PORT"),
        ({"endpoints": [APP | {"targets": ["https://u:pw@a:1/x"]}]}, "the target a URL", "HOST:PORT"),
        ({"endpoints": [APP | {"scheme": "http"}]}, "asks a:1 without TLS", "set plain_allowed"),
        ({"endpoints": [APP | {"labels": {"a-b": "c"}}]}, "app: labels has the label 'a-b'", "Rename it"),
        ({"labels": {"__site": "x"}}, "prometheus_external_labels has the label '__site'", "Rename it"),
        ({"labels": {"1": "x"}}, "prometheus_external_labels has the label '1'", "Rename it"),
        ({"rule_files": {"/c/a.yml": None}}, "/c/a.yml is not there", "Take it out"),
        ({"rule_files": {"/c/a.rules": RULES}}, "/c/a.rules needs a name", "Rename it"),
        ({"rule_files": {"/c/a.yml": RULES, "/d/a.yml": RULES}}, "/d/a.yml needs a name", "Rename it"),
        ({"rule_files": {"/c/a.yml": "a: [\nb"}}, "it is no YAML, line 2", "Correct the file"),
        ({"rule_files": {"/c/a.yml": "rules: []"}}, "it has no list 'groups'", "Correct the file"),
        ({"rule_files": {"/c/a.yml": "groups: [{rules: []}]"}}, "a group has no 'name'", "Correct the file"),
        ({"rule_files": {"/c/a.yml": "groups: [{name: a, rules: [{alert: A}]}]"}}, "needs an 'expr'", "Correct"),
        ({"rule_files": {"/c/a.yml": RULES.replace("alert: A, ", "")}}, "either 'alert' or 'record'", "Correct"),
        (
            {"retention_mb": 45_000},
            "the disk of /var/lib/prometheus/metrics2 (/) has 50000 MB",
            "Set it to 40000",
        ),
    ],
)
def test_what_does_not_is_refused_with_its_remedy(changed: dict[str, Any], found: str, remedy: str) -> None:
    problems = monitoring_problems(GOOD | changed)
    assert len(problems) == 1 + (len(changed.get("rule_files", {})) > 1)
    assert found in problems[-1]
    assert remedy in problems[-1]
    assert "pw" not in problems[-1]


def test_the_disk_is_that_of_the_samples() -> None:
    mounts = [
        *GOOD["mounts"],
        {"mount": "/var/lib", "size_total": 4_000_000_000},
        {"mount": "/var/lib/p", "size_total": 1},
    ]
    assert "(/var/lib) has 4000 MB" in monitoring_problems(GOOD | {"mounts": mounts})[0]
    assert monitoring_problems(GOOD | {"mounts": []}) == []
