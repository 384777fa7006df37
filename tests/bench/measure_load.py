"""The measures of running Airflow: `throughput`, `latency` and `memory`, ours against Airflow's own defaults."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import bench_dags
from airstrip_airflow import Airflow
from bench_dags import CHAIN, CHAIN_TASKS, WIDE, WIDE_TASKS
from bench_play import say
from bench_result import Result
from bench_site import Site
from bench_variants import COMPONENTS, Defaults, Host, Ours, Variant, difference, switch, with_services

NAMES = ("throughput", "latency", "memory")
_REST = 60

# What is known of one variant: for each measure its runs, each with a `value` to compare.
Seen = dict[str, list[dict[str, Any]]]


def throughput(host: Host, airflow: Airflow, variant: Variant) -> dict[str, Any]:
    """Run the wide DAG once."""
    units = with_services(host, variant)
    before = host.probe(units)
    run = bench_dags.finish(airflow, WIDE, WIDE_TASKS)
    used = difference(before, host.probe(units))
    rate = WIDE_TASKS / run.first_queued_to_last_end
    say(f"{variant.name}: {rate:.2f} tasks/s, {sum(used.values()) / WIDE_TASKS:.2f} CPU s per task")
    return {
        "value": rate,
        "queued_to_start_p50": run.wait_p50,
        "queued_to_start_p95": run.wait_p95,
        "cpu_seconds_per_task": {name: seconds / WIDE_TASKS for name, seconds in used.items()},
    }


def latency(host: Host, airflow: Airflow, variant: Variant) -> dict[str, Any]:
    """Run the chain once."""
    units = with_services(host, variant)
    before = host.probe(units)
    run = bench_dags.finish(airflow, CHAIN, CHAIN_TASKS)
    used = difference(before, host.probe(units))
    say(f"{variant.name}: {run.seconds / CHAIN_TASKS:.2f} s per task of the chain")
    return {
        "value": run.seconds / CHAIN_TASKS,
        "queued_to_start_p50": run.wait_p50,
        "cpu_seconds_per_task": {name: seconds / CHAIN_TASKS for name, seconds in used.items()},
    }


def memory(host: Host, variant: Variant) -> tuple[float, dict[str, float]]:
    """Return the memory of Airflow's components together, and of everything by component."""
    held = {name: seen["pss"] for name, seen in host.probe(with_services(host, variant)).items()}
    total = sum(held[component] for component in COMPONENTS)
    say(f"{variant.name}: {total:.0f} MB")
    return total, held


def repeated(runs: int, once: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what came of a number of runs, after one that warms up."""
    once()
    return [once() for _ in range(runs)]


def look_at(host: Host, airflow: Airflow, variant: Variant, runs: Mapping[str, int]) -> Seen:
    """Measure one variant, which has just been started."""
    seen: Seen = {}
    bench_dags.wait_for_dags(airflow)
    if "memory" in runs:
        # Before any task: a worker keeps what a task needed.
        time.sleep(_REST)
        total, rest = memory(host, variant)
        seen["memory"] = [{"value": total, "rest_mb": rest}]
    if "throughput" in runs:
        seen["throughput"] = repeated(runs["throughput"], lambda: throughput(host, airflow, variant))
    if "latency" in runs:
        seen["latency"] = repeated(runs["latency"], lambda: latency(host, airflow, variant))
    if "memory" in runs:
        run, slots = bench_dags.fill_slots(airflow)
        total, busy = memory(host, variant)
        seen["memory"][0] |= {"busy_total_mb": total, "busy_mb": busy, "busy_slots": slots}
        bench_dags.empty_slots(airflow, run)
    return seen


def measure(names: Sequence[str], site: Site, runs: Mapping[str, int]) -> list[Result]:
    """Compare both variants on the one host of an installed site; ours runs again at the end."""
    host = Host(site, next(iter(site.groups)))
    bench_dags.install(host)
    ours = Ours(host)
    defaults = Defaults(host, ours)
    variants: list[Variant] = [ours, defaults]
    rounds = runs["memory"] if list(names) == ["memory"] else 1
    seen: dict[str, Seen] = {variant.name: {name: [] for name in names} for variant in variants}
    chosen = {name: runs[name] for name in names}
    try:
        for _ in range(rounds):
            for variant in variants:
                found = look_at(host, switch(host, variants, variant), variant, chosen)
                for name in names:
                    seen[variant.name][name] += found[name]
    finally:
        switch(host, variants, ours)
    return [result(name, seen[ours.name][name], seen[defaults.name][name]) for name in names]


def result(name: str, mine: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> Result:
    """Return the result of one measure from the runs of both variants."""
    pairs = [
        {"ratio": one["value"] / other["value"], "ours": one, "defaults": other}
        for one, other in zip(mine, others, strict=True)
    ]
    medians = {"ours": median(one["value"] for one in mine), "defaults": median(one["value"] for one in others)}
    return Result(name, pairs, {"medians": medians})
