"""Scheduler and parsing: is the loop quick, and are DAG files read in time."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import INSTANCE, RATE, Look, Query, bars, board, instance, lines, quantile

LOOP = "airflow_scheduler_scheduler_loop_duration"
CRITICAL = "airflow_scheduler_critical_section_duration"
QUERY = "airflow_scheduler_critical_section_query_duration"


def _scheduler(made: Dashboard) -> None:
    """Add the scheduler."""
    made.with_row(Row("Scheduler"))
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
            "Loop: p50 and p95",
            "How long does a turn of the scheduler take?",
            Look(unit="s"),
            Query(quantile("0.50", LOOP, INSTANCE), "p50"),
            Query(quantile("0.95", LOOP, INSTANCE), "p95"),
        )
    )
    made.with_panel(
        lines(
            "Critical section: p95",
            "How long does the part take which one scheduler at a time may do, and how much of it is the database?",
            Look(unit="s"),
            Query(quantile("0.95", CRITICAL, INSTANCE), "all"),
            Query(quantile("0.95", QUERY, INSTANCE), "its query"),
        )
    )
    made.with_panel(
        lines(
            "Turns per second",
            "Do the schedulers turn?",
            Look(unit="ops"),
            Query(f"sum by (instance) (rate({LOOP}_count{{{INSTANCE}}}[{RATE}]))", "{{instance}}"),
        )
    )
    made.with_panel(
        lines(
            "Tasks that can run",
            "Does the scheduler find tasks, and slots for them?",
            Look(),
            Query(f"sum(airflow_scheduler_tasks_executable{{{INSTANCE}}})", "sent to the executor in a turn"),
            Query(f"sum(airflow_scheduler_tasks_starving{{{INSTANCE}}})", "without a slot in their pool"),
        )
    )
    made.with_panel(
        lines(
            "Orphaned tasks per hour",
            "Do schedulers die with tasks in hand?",
            Look(),
            Query(
                f"3600 * sum(rate(airflow_scheduler_orphaned_tasks_adopted{{{INSTANCE}}}[{RATE}])) or vector(0)",
                "taken over",
            ),
            Query(
                f"3600 * sum(rate(airflow_scheduler_orphaned_tasks_cleared{{{INSTANCE}}}[{RATE}])) or vector(0)",
                "begun anew",
            ),
        )
    )


def _parsing(made: Dashboard) -> None:
    """Add the DAG processor."""
    made.with_row(Row("Parsing"))
    made.with_panel(
        lines(
            "All files, once",
            "How long does it take until a change of a DAG is seen?",
            Look(unit="s"),
            Query(f"max by (instance) (airflow_dag_processing_total_parse_time{{{INSTANCE}}})", "{{instance}}"),
        )
    )
    made.with_panel(
        lines(
            "Files that wait",
            "Does the DAG processor keep up?",
            Look(),
            Query(f"max by (instance) (airflow_dag_processing_file_path_queue_size{{{INSTANCE}}})", "{{instance}}"),
        )
    )
    made.with_panel(
        bars(
            "Slowest files",
            "Which files take long, and may do work when they are only read?",
            Look(unit="s"),
            Query(
                "topk(15, sum by (bundle_name, file_name) "
                f"(rate(airflow_dag_processing_last_duration_sum{{{INSTANCE}}}[$__range])) / "
                "(sum by (bundle_name, file_name) "
                f"(rate(airflow_dag_processing_last_duration_count{{{INSTANCE}}}[$__range])) > 0))",
                "{{bundle_name}} {{file_name}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Import errors",
            "Which bundle has files that are no DAGs?",
            Look(stacked=True),
            Query("sum by (bundle) (airflow_import_errors) or vector(0)", "{{bundle}}"),
        )
    )
    made.with_panel(
        lines(
            "DAGs",
            "Did DAGs come or go?",
            Look(stacked=True),
            Query("sum by (state) (airflow_dags)", "{{state}}"),
        )
    )
    made.with_panel(
        lines(
            "Processors by component",
            "What do the parts that are not workers take?",
            Look(),
            Query(
                "sum by (instance, groupname) (rate(namedprocess_namegroup_cpu_seconds_total"
                f'{{groupname=~"airflow-(scheduler|dag-processor|triggerer|api-server).*", {INSTANCE}}}[{RATE}]))',
                "{{instance}} {{groupname}}",
            ),
        )
    )


def _triggerer(made: Dashboard) -> None:
    """Add the triggerer."""
    made.with_row(Row("Triggerer"))
    made.with_panel(
        lines(
            "Triggers",
            "How many events does each triggerer wait for, and how many more can it?",
            Look(width=12),
            Query("sum by (hostname) (airflow_triggers_running)", "{{hostname}}: running"),
            Query("sum by (hostname) (airflow_triggerer_capacity_left)", "{{hostname}}: free"),
        )
    )
    made.with_panel(
        lines(
            "Triggers per hour",
            "Do triggers end well, and do they leave the others their turn?",
            Look(width=12),
            Query(f"3600 * sum(rate(airflow_triggers_succeeded[{RATE}])) or vector(0)", "succeeded"),
            Query(f"3600 * sum(rate(airflow_triggers_failed[{RATE}])) or vector(0)", "failed"),
            Query(f"3600 * sum(rate(airflow_triggers_blocked_main_thread[{RATE}])) or vector(0)", "held up the others"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board(
        "scheduler",
        "Scheduler and parsing",
        "Are tasks found and DAG files read in time?",
        instance('up{job="statsd"}'),
    )
    for part in (_scheduler, _parsing, _triggerer):
        part(made)
    return made
