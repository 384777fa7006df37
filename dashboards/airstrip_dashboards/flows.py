"""DAGs and flows end to end: do they run when they should, succeed, and how long do they take and wait."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import DAG, RANGE, RATE, Look, Query, bars, board, dag, lines, number, quantile, rows

RUNS = "airflow_dag_runs_finished_total"
RUN_DURATION = "airflow_dag_run_duration_seconds"
SMALL = Look(width=6, height=4)


def _mean(timer: str, by: str) -> str:
    """Return the mean of a timer over the time that is looked at."""
    return (
        f"sum by ({by}) (increase({timer}_sum{{{DAG}}}[{RANGE}])) / "
        f"(sum by ({by}) (increase({timer}_count{{{DAG}}}[{RANGE}])) > 0)"
    )


def _success(made: Dashboard) -> None:
    """Add how runs end."""
    made.with_panel(
        number(
            "Runs that ended",
            "How many runs have ended in this time?",
            SMALL,
            Query(f"sum(increase({RUNS}{{{DAG}}}[{RANGE}]))"),
        )
    )
    made.with_panel(
        number(
            "Runs that failed",
            "How many of them failed?",
            replace(SMALL, warning=1, bad=10),
            Query(f'sum(increase({RUNS}{{state="failed", {DAG}}}[{RANGE}])) or vector(0)'),
        )
    )
    made.with_panel(
        number(
            "Runs now",
            "How many runs are under way, and how many wait to begin?",
            SMALL,
            Query("sum by (state) (airflow_dag_runs)", "{{state}}"),
        )
    )
    made.with_panel(
        number(
            "DAGs",
            "How many DAGs are there, by state?",
            SMALL,
            Query("sum by (state) (airflow_dags)", "{{state}}"),
        )
    )
    made.with_row(Row("Do they succeed?"))
    made.with_panel(
        lines(
            "Runs that end, per hour",
            "Do as many runs end as usual, and do they succeed?",
            Look(width=12, stacked=True),
            Query(f"3600 * sum by (state) (rate({RUNS}{{{DAG}}}[{RATE}]))", "{{state}}"),
        )
    )
    made.with_panel(
        bars(
            "Success by DAG",
            "Which DAG fails most?",
            Look(unit="percentunit", width=12, most=1),
            Query(
                f'bottomk(20, (sum by (dag_id) (increase({RUNS}{{state="success", {DAG}}}[{RANGE}])) '
                f"or 0 * sum by (dag_id) (increase({RUNS}{{{DAG}}}[{RANGE}]))) / "
                f"(sum by (dag_id) (increase({RUNS}{{{DAG}}}[{RANGE}])) > 0))",
                "{{dag_id}}",
            ),
        )
    )


def _duration(made: Dashboard) -> None:
    """Add how long runs take."""
    made.with_row(Row("How long do they take?"))
    made.with_panel(
        lines(
            "Duration of runs: p50 and p95",
            "Do flows take longer than they did?",
            Look(unit="s"),
            Query(quantile("0.50", RUN_DURATION, DAG), "p50"),
            Query(quantile("0.95", RUN_DURATION, DAG), "p95"),
        )
    )
    made.with_panel(
        lines(
            "Duration by DAG: p95",
            "Which flow takes longer?",
            Look(unit="s"),
            Query(f"topk(10, {quantile('0.95', RUN_DURATION, DAG, 'dag_id')})", "{{dag_id}}"),
        )
    )
    made.with_panel(
        bars(
            "Mean duration by DAG",
            "Which flows are the long ones?",
            Look(unit="s"),
            Query(f"topk(20, {_mean(RUN_DURATION, 'dag_id')})", "{{dag_id}}"),
        )
    )


def _delay(made: Dashboard) -> None:
    """Add delays."""
    made.with_row(Row("Are they late?"))
    made.with_panel(
        lines(
            "Delay of scheduled runs: p95",
            "How long after its time does a scheduled run begin?",
            Look(unit="s"),
            Query(f"topk(10, {quantile('0.95', 'airflow_dagrun_schedule_delay', DAG, 'dag_id')})", "{{dag_id}}"),
        )
    )
    made.with_panel(
        lines(
            "Delay of the first task: p95",
            "How long after a run's time does its first task begin?",
            Look(unit="s"),
            Query(
                f"topk(10, {quantile('0.95', 'airflow_dagrun_first_task_scheduling_delay', DAG, 'dag_id')})",
                "{{dag_id}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Runs that wait",
            "Do runs wait because too many of their DAG are under way (max_active_runs)?",
            Look(),
            Query('sum(airflow_dag_runs{state="queued"})', "queued"),
            Query('sum(airflow_dag_runs{state="running"})', "running"),
        )
    )


def _dependencies(made: Dashboard) -> None:
    """Add what tasks wait for."""
    made.with_row(Row("What do tasks wait for?"))
    made.with_panel(
        lines(
            "Unfinished tasks by what they wait for",
            "Is it slots (scheduled), workers (queued), events (deferred, up_for_reschedule) or a retry?",
            Look(stacked=True),
            Query('sum by (state) (airflow_task_instances{state!="running"})', "{{state}}"),
        )
    )
    made.with_panel(
        lines(
            "Dependency checks: p95",
            "How long does the scheduler take to find what a run can do next?",
            Look(unit="s"),
            Query(f"topk(10, {quantile('0.95', 'airflow_dagrun_dependency_check', DAG, 'dag_id')})", "{{dag_id}}"),
        )
    )
    made.with_panel(
        lines(
            "Assets",
            "Do flows that are started by others get their events?",
            Look(unit="ops"),
            Query(f"sum(rate(airflow_asset_updates[{RATE}])) or vector(0)", "updates"),
            Query(f"sum(rate(airflow_asset_triggered_dagruns[{RATE}])) or vector(0)", "runs that were started"),
        )
    )
    made.with_panel(
        rows(
            "Steps of the flows",
            "Which step takes the time of a flow, and does it wait or work? Waiting: since Airflow 3.2.",
            Look(unit="s", width=24, height=12, columns=("dag_id", "task_id")),
            Query(_mean("airflow_task_duration", "dag_id, task_id"), "runs"),
            Query(_mean("airflow_task_scheduled_duration", "dag_id, task_id"), "waits for a slot"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board("flows", "DAGs and flows", "Do flows run when they should, and where does their time go?", dag())
    for part in (_success, _duration, _delay, _dependencies):
        part(made)
    return made
