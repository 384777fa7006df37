"""The rules that alert, as the role prometheus writes them, and their tests.

    python tests/lib/airstrip_alerts.py DIRECTORY

writes them below DIRECTORY as promtool takes them: DIRECTORY/rules/*.yml, and the tests beside it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from airstrip_render import Role
from airstrip_tree import PROJECT

TEMPLATES = PROJECT / "roles" / "prometheus" / "templates" / "rules"
TESTS = PROJECT / "tests" / "promtool"
RUNBOOK = PROJECT / "docs" / "operations-monitoring.md"

SEVERITIES = ("critical", "warning", "info")

# What rules may ask for: of each program that is scraped, the names that are known to be there.
CATALOGUE = re.compile(
    "|".join(
        [
            "up",
            # scale_hook
            "airstrip_scale_hook_(asked|run_timestamp_seconds|exit_status)",
            # airflow_exporter
            "airflow_(task_instances|oldest_queued_task_age_seconds|dag_runs|import_errors|running_tasks|dags)",
            "airflow_pool_(slots|slots_used|tasks_waiting)",
            "airflow_(job|task)_heartbeat_age_seconds",
            "airflow_exporter_(up|scrape_seconds)",
            "celery_queue_length",
            "worker_(tasks_processed|task_failures)_total",
            "worker_task_duration_seconds_(bucket|sum|count)",
            "airflow_task_(retries|run_seconds|failures)_total",
            "airflow_dag_runs_finished_total",
            "airflow_dag_run_duration_seconds_(bucket|sum|count)",
            # The text file of the hosts.
            "airstrip_worker_scale_(last_answer_seconds|units)",
            "airstrip_(finding|host_drained|hang|heals_total|heals_last_hour|canary_ok|canary_busy)",
            "airstrip_(certificate_expires|status|backup|heal)_timestamp_seconds",
            # Debian's programs, in the versions of Debian 12 and 13.
            "node_systemd_(unit_state|service_restart_total)",
            "node_(time_seconds|timex_sync_status|vmstat_oom_kill)",
            "node_filesystem_(avail_bytes|size_bytes|files|files_free)",
            "node_memory_Mem(Available|Total)_bytes",
            "haproxy_(server_status|backend_active_servers)",
            "pg_(up|stat_activity_count|settings_max_connections)",
            "redis_(up|memory_used_bytes|memory_max_bytes)",
            "probe_(success|ssl_earliest_cert_expiry)",
            "prometheus_(rule_evaluation_failures|notifications_errors)_total",
            "(prometheus|alertmanager)_config_last_reload_successful",
            "alertmanager_notifications_failed_total",
            # What rules of scale.yml record.
            "airstrip:worker_(tasks|tasks_waiting|host_(cpu_percent|memory_percent|full))",
            "airstrip:worker_instances_(present|raw|before|stable|limit_up|limit_down|wanted)",
        ]
    )
)

# The set of workers that the rules' tests have, as rules_of of site_scale.py gives it.
SCALED: Mapping[str, Any] = {
    "name": "elastic",
    "queues": "elastic|extra",
    "hosts": r"worker\-1|worker\-2",
    "units": r"airflow-worker@elastic-[0-9]+\.service",
    "first": "airflow-worker@elastic-1.service",
    "min": 2,
    "max": 10,
    "target": 2,
    "longest_task_seconds": 60,
    "counted": "all",
    "cpu": 70,
    "memory": 80,
    "host_cpu": 90,
    "host_memory": 85,
    "up": {"percent": 100, "instances": 2, "seconds": 30, "stabilization": 0, "cooldown": 0},
    "down": {"percent": 50, "instances": 1, "seconds": 60, "stabilization": 300, "cooldown": 0},
}

# Words of PromQL that stand where a metric could.
_WORDS = {"and", "or", "unless", "bool", "by", "without", "on", "ignoring", "offset"}


@dataclass(frozen=True)
class Alert:
    """An alert, and the file that it is in."""

    file: str
    name: str
    rule: Mapping[str, Any]

    @property
    def metrics(self) -> set[str]:
        """The metrics that it asks for."""
        return metrics(self.rule["expr"])

    @property
    def codes(self) -> set[str]:
        """Its code, or those of the findings that it hands on."""
        code = self.rule.get("labels", {}).get("code", "")
        if "$labels.code" not in code:
            return {code}
        return {each for listed in re.findall(r'code=~"([^"]+)"', self.rule["expr"]) for each in listed.split("|")}


@dataclass(frozen=True)
class Case:
    """What a test expects of an alert at a moment."""

    alert: str
    fires: bool


def rendered(variables: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the rule files by name; without variables, as the role's defaults give them, with a set that scales."""
    role = Role("prometheus", {"prometheus_scaled": [SCALED], **(variables or {})})
    return {path.stem: role.render(f"rules/{path.name}") for path in sorted(TEMPLATES.glob("*.yml.j2"))}


def alerts(files: Mapping[str, str]) -> list[Alert]:
    """Return all alerts of rule files."""
    return [
        Alert(file, rule["alert"], rule)
        for file, text in files.items()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"] or []
        if "alert" in rule
    ]


def metrics(expression: str) -> set[str]:
    """Return the names of the metrics in an expression of PromQL.

    >>> sorted(metrics('sum by (queue) (rate(a_total{job="b"}[5m])) / on (x) c > 2 * 3'))
    ['a_total', 'c']
    """
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', expression)
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    return set(re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*\b(?!\s*\()", text)) - _WORDS


def cases(file: str) -> Iterator[Case]:
    """Yield what the tests of a rule file expect."""
    for group in yaml.safe_load((TESTS / file).read_text(encoding="utf-8"))["tests"]:
        for test in group.get("alert_rule_test", []):
            yield Case(test["alertname"], bool(test["exp_alerts"]))


def rows() -> set[str]:
    """Return the codes that the runbook has a row for, with an anchor."""
    text = RUNBOOK.read_text(encoding="utf-8")
    return {*re.findall(r'^\| <a id="([a-z-]+)"></a>`\1` \| [^|]+ \| (?:[^|]|\\\|)+ \|$', text, re.MULTILINE)}


def write(directory: Path) -> None:
    """Write rules and tests as promtool takes them."""
    (directory / "rules").mkdir(parents=True)
    for name, text in rendered().items():
        (directory / "rules" / name).write_text(text, encoding="utf-8")
    for path in TESTS.glob("*.yml"):
        shutil.copy(path, directory)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
