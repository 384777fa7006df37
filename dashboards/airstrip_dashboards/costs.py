"""Costs: core hours and GB hours by queue and by the DAGs' owners."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import (
    QUEUE,
    RANGE,
    RATE,
    SCHEDULER_UNIT,
    WORKER_UNITS,
    Look,
    Query,
    bars,
    board,
    lines,
    number,
    price,
    queue,
    resident,
    rows,
    words,
)

# As systemd counts it: an exporter that looks at processes misses most of short tasks.
CPU = "airstrip_unit_cpu_seconds_total"
RUN = "airflow_task_run_seconds_total"
SMALL = Look(width=6, height=4)

EXPLANATION = """
What the workers' units have used is divided among those whose tasks ran, by the time that the tasks ran:

    core hours of a queue and owner = core hours of all workers * (running time of their tasks / that of all tasks)

and GB hours alike, with the memory that the workers held, whether a task ran or not. So each second of a task costs the
same, whatever the task did in it: this tells who keeps the workers busy, and is no measurement of each task. If no
task ended in this time, nothing is divided. A DAG with several owners counts as one owner of their names. A site whose
scheduler runs the tasks (LocalExecutor) has the scheduler's unit in place of the workers'.
"""


def cpu_hours() -> str:
    """Return the core hours that those units used which run tasks."""
    return (
        f"(sum(increase({CPU}{{{WORKER_UNITS}}}[{RANGE}])) or sum(increase({CPU}{{{SCHEDULER_UNIT}}}[{RANGE}]))) / 3600"
    )


def memory_hours() -> str:
    """Return the GB hours that they held, seen every minute: where it is not known, none."""
    held = f"(sum({resident(WORKER_UNITS)}) or sum({resident(SCHEDULER_UNIT)}))"
    return f"sum_over_time({held}[{RANGE}:1m]) / 60 / 1e9"


def share(by: str) -> str:
    """Return the share of the running time of all tasks, by labels."""
    return f"sum by ({by}) (increase({RUN}{{{QUEUE}}}[{RANGE}])) / scalar(sum(increase({RUN}[{RANGE}])) > 0)"


def _sum(made: Dashboard) -> None:
    """Add the sums."""
    made.with_panel(
        number("Core hours", "What have the workers used of processors?", SMALL, Query(cpu_hours())),
    )
    made.with_panel(
        number("GB hours", "How much memory have they held?", SMALL, Query(memory_hours())),
    )
    made.with_panel(
        number(
            "Task hours",
            "How long have tasks run, all together?",
            SMALL,
            Query(f"sum(increase({RUN}[{RANGE}])) / 3600"),
        )
    )
    made.with_panel(
        number(
            "Cost",
            "What is that at the prices above? They are OpenCost's defaults for a core hour and a GB hour.",
            replace(SMALL, unit="currencyUSD"),
            Query(f"$core_hour * ({cpu_hours()}) + $gb_hour * ({memory_hours()})"),
        )
    )


def _shares(made: Dashboard) -> None:
    """Add who has used it."""
    made.with_row(Row("Who has used it"))
    for by, title in (("queue", "queue"), ("owner", "owner")):
        made.with_panel(
            bars(
                f"Core hours by {title}",
                f"Which {title} has used the processors?",
                Look(width=6),
                Query(f"topk(15, {share(by)} * scalar({cpu_hours()}))", f"{{{{{by}}}}}"),
            )
        )
        made.with_panel(
            bars(
                f"GB hours by {title}",
                f"Which {title} has used the memory?",
                Look(width=6),
                Query(f"topk(15, {share(by)} * scalar({memory_hours()}))", f"{{{{{by}}}}}"),
            )
        )
    made.with_panel(
        rows(
            "By queue and owner",
            "Who has used how much, and what is that at the prices above?",
            Look(width=24, height=10, columns=("queue", "owner")),
            Query(f"sum by (queue, owner) (increase({RUN}{{{QUEUE}}}[{RANGE}])) / 3600", "task hours"),
            Query(f"{share('queue, owner')} * scalar({cpu_hours()})", "core hours"),
            Query(f"{share('queue, owner')} * scalar({memory_hours()})", "GB hours"),
            Query(
                f"{share('queue, owner')} * scalar($core_hour * ({cpu_hours()}) + $gb_hour * ({memory_hours()}))",
                "cost in $",
            ),
        )
    )


def _use(made: Dashboard) -> None:
    """Add what is there for nothing."""
    made.with_row(Row("What is there, and not used"))
    worker_hosts = f"max by (instance) (namedprocess_namegroup_num_procs{{{WORKER_UNITS}}} > 0)"
    scheduler_hosts = f"max by (instance) (namedprocess_namegroup_num_procs{{{SCHEDULER_UNIT}}} > 0)"
    hosts = f"({worker_hosts} or (({scheduler_hosts}) unless on () ({worker_hosts})))"
    cores = f'count by (instance) (node_cpu_seconds_total{{mode="idle"}}) and on (instance) {hosts}'
    made.with_panel(
        lines(
            "Cores",
            "How many of the cores of hosts with workers do the workers use?",
            Look(width=12),
            Query(f"sum({cores})", "there"),
            Query(
                f"sum(rate({CPU}{{{WORKER_UNITS}}}[{RATE}])) or sum(rate({CPU}{{{SCHEDULER_UNIT}}}[{RATE}]))", "used"
            ),
        )
    )
    made.with_panel(
        lines(
            "Memory",
            "How much of the memory of hosts with workers do the workers hold?",
            Look(unit="bytes", width=12),
            Query(f"sum(node_memory_MemTotal_bytes and on (instance) {hosts})", "there"),
            Query(f"sum({resident(WORKER_UNITS)}) or sum({resident(SCHEDULER_UNIT)})", "held"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board(
        "costs",
        "Costs",
        "Who uses how much of the workers' processors and memory?",
        queue(),
        price("core_hour", "Price of a core hour", "0.031611"),
        price("gb_hour", "Price of a GB hour", "0.004237"),
        since="now-7d",
    )
    made.with_panel(words("How this is worked out", EXPLANATION.strip(), height=7))
    for part in (_sum, _shares, _use):
        part(made)
    return made
