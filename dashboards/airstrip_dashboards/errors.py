"""Errors: which tasks fail, which try again and again, and what else goes wrong."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import DAG, QUEUE, RANGE, RATE, Look, Query, bars, board, dag, lines, queue, rows

RUNS = "airflow_dag_runs_finished_total"


def _tasks(made: Dashboard) -> None:
    """Add failures of tasks."""
    made.with_row(Row("Tasks that fail"))
    made.with_panel(
        lines(
            "Failures by queue",
            "When did tasks begin to fail?",
            Look(unit="ops", stacked=True),
            Query(f"sum by (queue) (rate(worker_task_failures_total{{{QUEUE}}}[{RATE}]))", "{{queue}}"),
        )
    )
    made.with_panel(
        bars(
            "Failures by DAG",
            "Whose tasks fail?",
            Look(),
            Query(f"topk(15, sum by (dag_id) (increase(airflow_task_failures_total{{{DAG}}}[{RANGE}])))", "{{dag_id}}"),
        )
    )
    made.with_panel(
        lines(
            "Failures by operator",
            "Is it one kind of task?",
            Look(unit="ops"),
            # The label has another name since Airflow 3.3.
            Query(
                f"topk(10, sum by (operator, operator_name) (rate(airflow_operator_failures[{RATE}])))",
                "{{operator}}{{operator_name}}",
            ),
        )
    )
    made.with_panel(
        rows(
            "Tasks that failed most",
            "Which tasks are they, and for how many hours have they failed?",
            Look(width=24, height=10, columns=("dag_id", "task_id")),
            Query(
                f"topk(50, sum by (dag_id, task_id) (increase(airflow_task_failures_total{{{DAG}}}[{RANGE}])))",
                "failures",
            ),
            Query(
                "count_over_time((sum by (dag_id, task_id) "
                f"(increase(airflow_task_failures_total{{{DAG}}}[5m])) > 0)[{RANGE}:5m]) / 12",
                "hours with failures",
            ),
        )
    )


def _retries(made: Dashboard) -> None:
    """Add how tries are repeated."""
    made.with_row(Row("Tasks that try again"))
    made.with_panel(
        lines(
            "Retries by queue",
            "Do failures come in waves, as when a system that all use is away?",
            Look(unit="ops", stacked=True),
            Query(f"sum by (queue) (rate(airflow_task_retries_total{{{QUEUE}}}[{RATE}]))", "{{queue}}"),
        )
    )
    made.with_panel(
        lines(
            "Share of work that is done again",
            "How much of the workers' time do retries take?",
            Look(unit="percentunit", most=1),
            Query(
                f"sum by (queue) (rate(airflow_task_retries_total{{{QUEUE}}}[{RATE}])) / "
                f"sum by (queue) (rate(worker_tasks_processed_total{{{QUEUE}}}[{RATE}]))",
                "{{queue}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Waiting for a retry",
            "How many tasks will try again?",
            Look(stacked=True),
            Query(f'sum by (queue) (airflow_task_instances{{state="up_for_retry", {QUEUE}}})', "{{queue}}"),
        )
    )


def _others(made: Dashboard) -> None:
    """Add what is not a task's own fault."""
    made.with_row(Row("Not the task's own fault"))
    made.with_panel(
        lines(
            "Tasks that were lost",
            "Do tasks die with their host, by hand, or between scheduler and worker?",
            Look(unit="ops"),
            Query(f"sum(rate(airflow_task_instances_without_heartbeats_killed[{RATE}])) or vector(0)", "no heartbeat"),
            Query(f"sum(rate(airflow_scheduler_tasks_killed_externally[{RATE}])) or vector(0)", "killed from outside"),
            Query(f"sum(rate(airflow_celery_task_timeout_error[{RATE}])) or vector(0)", "the broker did not answer"),
            Query(f"sum(rate(airflow_celery_execute_command_failure[{RATE}])) or vector(0)", "did not start"),
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
            "Failed runs by DAG, last hour",
            "Which flows as a whole have failed?",
            Look(stacked=True),
            Query(
                f'sum by (dag_id) (increase({RUNS}{{state="failed", {DAG}}}[1h])) > 0 or vector(0)',
                "{{dag_id}}",
            ),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board(
        "errors",
        "Errors",
        "Which tasks fail, which fail again and again, and whose fault is it?",
        queue(),
        dag(),
        since="now-24h",
    )
    for part in (_tasks, _retries, _others):
        part(made)
    return made
