"""The measures of running Airflow: `throughput`, `latency` and `memory`, ours against Airflow's own defaults."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import bench_dags
from airstrip_airflow import Airflow
from bench_dags import CHAIN, CHAIN_TASKS, WIDE, WIDE_TASKS, Run
from bench_play import say
from bench_result import Result
from bench_site import Site
from bench_variants import COMPONENTS, Defaults, Host, Ours, Variant, difference, switch, with_services

_REST = 60

# What was seen of a variant, one for each run; `value` is what is compared.
Seen = list[dict[str, Any]]


@dataclass(frozen=True)
class Load:
    """A measure of tasks: its DAG with its number of tasks, and what is compared, with its unit."""

    dag: str
    tasks: int
    value: Callable[[Run], float]
    unit: str


LOADS = {
    "throughput": Load(WIDE, WIDE_TASKS, lambda run: WIDE_TASKS / run.first_queued_to_last_end, "tasks/s"),
    "latency": Load(CHAIN, CHAIN_TASKS, lambda run: run.seconds / CHAIN_TASKS, "s per task of the chain"),
}
NAMES = (*LOADS, "memory")


def once(load: Load, host: Host, airflow: Airflow, variant: Variant) -> dict[str, Any]:
    """Run a load's DAG once."""
    units = with_services(host, variant)
    before = host.probe(units)
    run = bench_dags.finish(airflow, load.dag, load.tasks)
    used = difference(before, host.probe(units))
    value = load.value(run)
    say(f"{variant.name}: {value:.2f} {load.unit}, {sum(used.values()) / load.tasks:.2f} CPU s per task")
    return {
        "value": value,
        "queued_to_start_p50": run.wait_p50,
        "queued_to_start_p95": run.wait_p95,
        "cpu_seconds_per_task": {name: seconds / load.tasks for name, seconds in used.items()},
    }


def memory(host: Host, variant: Variant) -> tuple[float, dict[str, float]]:
    """Return the memory of Airflow's components together, and of everything by component."""
    held = {name: seen["pss"] for name, seen in host.probe(with_services(host, variant)).items()}
    total = sum(held[component] for component in COMPONENTS)
    say(f"{variant.name}: {total:.0f} MB")
    return total, held


def at_rest(host: Host, variant: Variant) -> dict[str, Any]:
    """Measure the memory of a variant that has just been started, before any task: a worker keeps what one needed."""
    time.sleep(_REST)
    total, held = memory(host, variant)
    return {"value": total, "rest_mb": held}


def when_busy(host: Host, airflow: Airflow, variant: Variant) -> dict[str, Any]:
    """Measure the memory of a variant with a task in each of its slots."""
    run, slots = bench_dags.fill_slots(host, airflow)
    total, held = memory(host, variant)
    bench_dags.empty_slots(host, airflow, run)
    return {"busy_total_mb": total, "busy_mb": held, "busy_slots": slots}


def measure(names: Sequence[str], site: Site, runs: Mapping[str, int]) -> list[Result]:
    """Compare both variants on the one host of an installed site; ours runs again at the end."""
    host = Host(site, next(iter(site.groups)))
    bench_dags.install(host)
    ours = Ours(host)
    defaults = Defaults(host, ours)
    variants: list[Variant] = [ours, defaults]
    seen: dict[tuple[str, str], Seen] = {(variant.name, name): [] for variant in variants for name in names}

    def start(variant: Variant) -> Airflow:
        airflow = switch(host, variants, variant)
        bench_dags.wait_for_dags(airflow)
        return airflow

    try:
        for _ in range(runs["memory"] if "memory" in names else 0):
            for variant in variants:
                start(variant)
                seen[variant.name, "memory"].append(at_rest(host, variant))
        for variant in variants:
            airflow = start(variant)
            for name, load in LOADS.items():
                if name in names:
                    # The first run warms up.
                    found = [once(load, host, airflow, variant) for _ in range(1 + runs[name])]
                    seen[variant.name, name] = found[1:]
            if "memory" in names:
                seen[variant.name, "memory"][0] |= when_busy(host, airflow, variant)
    finally:
        switch(host, variants, ours)
    return [result(name, seen[ours.name, name], seen[defaults.name, name]) for name in names]


def result(name: str, mine: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> Result:
    """Return the result of one measure from the runs of both variants."""
    pairs = [
        {"ratio": one["value"] / other["value"], "ours": one, "defaults": other}
        for one, other in zip(mine, others, strict=True)
    ]
    medians = {"ours": median(one["value"] for one in mine), "defaults": median(one["value"] for one in others)}
    return Result(name, pairs, {"medians": medians})
