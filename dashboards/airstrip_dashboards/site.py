"""The site at a glance: is it well, and if not, which dashboard to open next."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import RATE, Look, Query, board, lines, number, quantile, rows

QUARTER = Look(width=4, height=4)


def _now(made: Dashboard) -> None:
    """Add the numbers of this moment."""
    made.with_panel(
        number(
            "Hosts that do not answer",
            "Is a host away?",
            replace(QUARTER, warning=1, bad=1),
            Query('count(up{job="exporters"} == 0) or vector(0)'),
        )
    )
    made.with_panel(
        number(
            "Targets missing",
            "Does Prometheus miss something that it should read?",
            replace(QUARTER, warning=1, bad=3),
            Query("count(up == 0) or vector(0)"),
        )
    )
    made.with_panel(
        number(
            "Findings of status.yml",
            "What does each host say of itself? Each code has a row in docs/operations-status.md.",
            replace(QUARTER, warning=1, bad=5),
            Query("sum(airstrip_finding) or vector(0)"),
        )
    )
    made.with_panel(
        number(
            "Tasks running",
            "How much does the site do at this moment?",
            QUARTER,
            Query('sum(airflow_task_instances{state="running"})'),
        )
    )
    made.with_panel(
        number(
            "Oldest queued task",
            "How long has the task that waits longest waited for a worker?",
            replace(QUARTER, unit="s", warning=300, bad=900),
            Query("max(airflow_oldest_queued_task_age_seconds)"),
        )
    )
    made.with_panel(
        number(
            "Tasks that failed, last hour",
            "How many tries of tasks have failed within an hour?",
            replace(QUARTER, warning=1, bad=50),
            Query("sum(increase(worker_task_failures_total[1h]))"),
        )
    )


def _work(made: Dashboard) -> None:
    """Add what the site does."""
    made.with_row(Row("Work"))
    made.with_panel(
        lines(
            "Unfinished tasks by state",
            "What are the tasks that are not finished waiting for?",
            Look(stacked=True),
            Query("sum by (state) (airflow_task_instances)", "{{state}}"),
        )
    )
    made.with_panel(
        lines(
            "Tasks finished",
            "How much work is done, and how much of it fails?",
            Look(unit="ops"),
            Query(f"sum(rate(worker_tasks_processed_total[{RATE}]))", "finished"),
            Query(f"sum(rate(worker_task_failures_total[{RATE}]))", "of these, failed"),
        )
    )
    made.with_panel(
        lines(
            "How long tasks take",
            "Do tasks take longer than they did?",
            Look(unit="s"),
            Query(quantile("0.50", "worker_task_duration_seconds", ""), "half are faster"),
            Query(quantile("0.95", "worker_task_duration_seconds", ""), "95 % are faster"),
        )
    )


def _parts(made: Dashboard) -> None:
    """Add how the site's parts are."""
    made.with_row(Row("Parts"))
    made.with_panel(
        lines(
            "Heartbeat age",
            "Does a scheduler, DAG processor or triggerer hang?",
            Look(unit="s"),
            Query("max by (component, hostname) (airflow_job_heartbeat_age_seconds)", "{{component}} {{hostname}}"),
        )
    )
    made.with_panel(
        lines(
            "Probes",
            "Is what people and workers connect to there? 1 is yes.",
            Look(unit="short", most=1),
            Query('probe_success{job="probe"}', "{{instance}}"),
        )
    )
    made.with_panel(
        lines(
            "Certificates: time left",
            "Which certificate ends next?",
            Look(unit="s"),
            Query("min by (component) (airstrip_certificate_expires_timestamp_seconds) - time()", "{{component}}"),
        )
    )
    made.with_panel(
        lines(
            "Busy processors",
            "Which host has no processor left?",
            Look(unit="percentunit", most=1),
            Query(f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle"}}[{RATE}]))', "{{instance}}"),
        )
    )
    made.with_panel(
        lines(
            "Memory in use",
            "Which host has no memory left?",
            Look(unit="percentunit", most=1),
            Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),
        )
    )
    made.with_panel(
        lines(
            "Fullest disk",
            "Which host has no disk left?",
            Look(unit="percentunit", most=1),
            Query(
                'max by (instance) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / '
                'node_filesystem_size_bytes{fstype!~"tmpfs|ramfs"})',
                "{{instance}}",
            ),
        )
    )


def _alerts(made: Dashboard) -> None:
    """Add what has to be looked at."""
    made.with_row(Row("What needs attention"))
    made.with_panel(
        rows(
            "Firing alerts",
            "What would wake somebody? The dead man's switch always fires.",
            Look(width=12, columns=("alertname", "severity", "instance")),
            Query('max by (alertname, severity, instance) (ALERTS{alertstate="firing"})', "firing"),
        )
    )
    made.with_panel(
        rows(
            "Findings by host",
            "Which findings does status.yml have?",
            Look(width=12, columns=("instance", "level", "code", "component"), empty="Nothing."),
            Query("max by (instance, level, code, component) (airstrip_finding) > 0 or vector(0)", "there"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board("site", "The site at a glance", "Is the site well? And if not, which dashboard comes next?")
    for part in (_now, _work, _parts, _alerts):
        part(made)
    return made
