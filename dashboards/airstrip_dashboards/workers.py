"""Workers: what goes through them, what waits for them, and what they take."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import (
    INSTANCE,
    QUEUE,
    RATE,
    Look,
    Query,
    board,
    instance,
    lines,
    quantile,
    queue,
    resident,
)

DURATION = "worker_task_duration_seconds"
# Processors and memory of the units that run tasks, of workers or of a scheduler that has none.
TASK_UNITS = "airflow-(worker.*|scheduler.service)"


def _throughput(made: Dashboard) -> None:
    """Add what goes through."""
    made.with_row(Row("What goes through"))
    made.with_panel(
        lines(
            "Throughput",
            "How many tries of tasks end per second, by queue?",
            Look(unit="ops", stacked=True),
            Query(f"sum by (queue) (rate(worker_tasks_processed_total{{{QUEUE}}}[{RATE}]))", "{{queue}}"),
        )
    )
    made.with_panel(
        lines(
            "Task duration: p50, p95, p99",
            "How long do tasks take, most of them and the slowest?",
            Look(unit="s"),
            Query(quantile("0.50", DURATION, QUEUE), "p50"),
            Query(quantile("0.95", DURATION, QUEUE), "p95"),
            Query(quantile("0.99", DURATION, QUEUE), "p99"),
        )
    )
    made.with_panel(
        lines(
            "Task duration by queue: p95",
            "Which queue has the slow tasks?",
            Look(unit="s"),
            Query(quantile("0.95", DURATION, QUEUE, "queue"), "{{queue}}"),
        )
    )
    made.with_panel(
        lines(
            "Failures per second",
            "How often do tasks fail, by queue? Alerts are for 0.1 per second.",
            Look(unit="ops"),
            Query(f"sum by (queue) (rate(worker_task_failures_total{{{QUEUE}}}[{RATE}]))", "{{queue}}"),
        )
    )
    made.with_panel(
        lines(
            "Share that fails",
            "Of what ends, how much fails?",
            Look(unit="percentunit", most=1),
            Query(
                f"sum by (queue) (rate(worker_task_failures_total{{{QUEUE}}}[{RATE}])) / "
                f"sum by (queue) (rate(worker_tasks_processed_total{{{QUEUE}}}[{RATE}]))",
                "{{queue}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Retries per second",
            "How much work is done again?",
            Look(unit="ops"),
            Query(f"sum by (queue) (rate(airflow_task_retries_total{{{QUEUE}}}[{RATE}]))", "{{queue}}"),
        )
    )


def _waiting(made: Dashboard) -> None:
    """Add what waits."""
    made.with_row(Row("What waits"))
    made.with_panel(
        lines(
            "Queue depth",
            "How many tasks wait for a worker? Alerts are for more than 100.",
            Look(stacked=True),
            Query(f"sum by (queue) (celery_queue_length{{{QUEUE}}})", "{{queue}}"),
        )
    )
    made.with_panel(
        lines(
            "Oldest queued task",
            "How long does the first in the queue wait?",
            Look(unit="s"),
            Query(f"max by (queue) (airflow_oldest_queued_task_age_seconds{{{QUEUE}}})", "{{queue}}"),
        )
    )
    made.with_panel(
        lines(
            "Running tasks by queue",
            "Which queue has the workers?",
            Look(stacked=True),
            Query(f'sum by (queue) (airflow_task_instances{{state="running", {QUEUE}}})', "{{queue}}"),
        )
    )


def _scaling(made: Dashboard) -> None:
    """Add what follows the load; a site without such sets of workers has no lines here."""
    made.with_row(Row("What follows the load"))
    made.with_panel(
        lines(
            "Instances: wanted and present",
            "Do the instances of each set follow what is wanted? Those that finish their tasks and end are present.",
            Look(),
            Query("max by (set) (airstrip:worker_instances_wanted)", "{{set}} wanted"),
            Query("sum by (set) (airstrip:worker_instances_present)", "{{set}} present"),
        )
    )
    made.with_panel(
        lines(
            "Instances that are missing",
            "How many does each set still lack? Below 0, so many are to end.",
            Look(),
            Query(
                "max by (set) (airstrip:worker_instances_wanted)"
                " - on (set) sum by (set) (airstrip:worker_instances_present)",
                "{{set}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Tasks that count",
            "For how many tasks, queued ones and as scale.counted says running ones, does each set have instances?",
            Look(stacked=True),
            Query("max by (set) (airstrip:worker_tasks)", "{{set}}"),
        )
    )


def _slots(made: Dashboard) -> None:
    """Add slots."""
    made.with_row(Row("Slots"))
    made.with_panel(
        lines(
            "Slots of the executor",
            "Is the limit of all tasks together (core.parallelism) reached?",
            Look(),
            Query("sum(airflow_executor_open_slots)", "free"),
            Query("sum(airflow_executor_running_tasks)", "running or handed to workers"),
            Query("sum(airflow_executor_queued_tasks)", "queued in the executor"),
        )
    )
    made.with_panel(
        lines(
            "Running tasks by host",
            "Is the work spread over the hosts?",
            Look(stacked=True),
            Query("sum by (hostname) (airflow_running_tasks)", "{{hostname}}"),
        )
    )
    made.with_panel(
        lines(
            "Oldest heartbeat of a running task",
            "Does a host run tasks of which nobody hears?",
            Look(unit="s"),
            Query("max by (hostname) (airflow_task_heartbeat_age_seconds)", "{{hostname}}"),
        )
    )


def _resources(made: Dashboard) -> None:
    """Add what workers take of their hosts."""
    made.with_row(Row("Processors and memory"))
    units = f'groupname=~"{TASK_UNITS}", {INSTANCE}'
    made.with_panel(
        lines(
            "Processors by instance",
            "How many cores does each worker use? A process that ends between two scrapes is not seen to its end.",
            Look(stacked=True),
            Query(
                f"sum by (instance, groupname) (rate(namedprocess_namegroup_cpu_seconds_total{{{units}}}[{RATE}]))",
                "{{instance}} {{groupname}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Memory by instance",
            "How much memory does each worker hold?",
            Look(unit="bytes", stacked=True),
            Query(f"sum by (instance, groupname) ({resident(units)})", "{{instance}} {{groupname}}"),
        )
    )
    made.with_panel(
        lines(
            "Processes by instance",
            "How many processes has each worker, its tasks among them?",
            Look(stacked=True),
            Query(
                f"sum by (instance, groupname) (namedprocess_namegroup_num_procs{{{units}}})",
                "{{instance}} {{groupname}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Restarts of units, last hour",
            "Does a unit die again and again?",
            Look(width=12),
            Query(
                "sum by (instance, name) (increase(node_systemd_service_restart_total"
                f'{{name=~"{TASK_UNITS}", {INSTANCE}}}[1h]))',
                "{{instance}} {{name}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Drained hosts",
            "Which hosts take no work, because somebody said so? 1 is drained.",
            Look(width=12, most=1),
            Query(f"max by (instance) (airstrip_host_drained{{{INSTANCE}}})", "{{instance}}"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board(
        "workers",
        "Workers",
        "Do the workers keep up, and what do they take?",
        queue(),
        instance('namedprocess_namegroup_num_procs{groupname=~"airflow-.*"}'),
    )
    for part in (_throughput, _waiting, _scaling, _slots, _resources):
        part(made)
    return made
