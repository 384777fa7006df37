"""Pools: who has the slots, and who waits for one."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from airstrip_dashboards.parts import Look, Query, bars, board, lines, rows


def build() -> Dashboard:
    """Return the dashboard."""
    made = board("pools", "Pools", "Which pool is full, and is it worth more slots?")
    made.with_panel(
        bars(
            "Slots in use",
            "Which pool is full?",
            Look(unit="percentunit", most=1),
            Query("sum by (pool) (airflow_pool_slots_used) / (sum by (pool) (airflow_pool_slots) > 0)", "{{pool}}"),
        )
    )
    made.with_panel(
        lines(
            "Slots in use over time",
            "When is a pool full, and for how long?",
            Look(unit="percentunit", width=16, most=1),
            Query("sum by (pool) (airflow_pool_slots_used) / (sum by (pool) (airflow_pool_slots) > 0)", "{{pool}}"),
        )
    )
    made.with_panel(
        lines(
            "Tasks that wait for a slot",
            "Would more slots help?",
            Look(width=12, stacked=True),
            Query("sum by (pool) (airflow_pool_tasks_waiting)", "{{pool}}"),
        )
    )
    made.with_panel(
        lines(
            "Tasks that found no slot",
            "How many tasks did the scheduler pass over in its last turn?",
            Look(width=12, stacked=True),
            Query("max by (pool_name) (airflow_pool_starving_tasks) or vector(0)", "{{pool_name}}"),
        )
    )
    made.with_panel(
        lines(
            "Slots by what has them",
            "Do tasks hold slots that do not run yet, or that wait for an event?",
            Look(width=12, stacked=True),
            Query("sum by (pool, state) (airflow_pool_slots_used)", "{{pool}} {{state}}"),
        )
    )
    made.with_panel(
        rows(
            "All pools",
            "What does each pool have at this moment?",
            Look(width=12, columns=("pool",)),
            Query("sum by (pool) (airflow_pool_slots)", "slots"),
            Query("sum by (pool) (airflow_pool_slots_used)", "in use"),
            Query("sum by (pool) (airflow_pool_tasks_waiting)", "waiting"),
        )
    )
    return made
