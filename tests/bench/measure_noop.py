"""The measures of a second run: `noop`, `noop_distributed` and `change`, against the yardstick."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from bench_play import Timing, say
from bench_result import Result, pairs
from bench_site import Site

# Patterns of the units whose restarts count.
_UNITS = ("airflow-*.service", "postgresql@*.service", "redis-server.service", "valkey-server.service")
_CAPACITIES = (900, 950)


def against_yardstick(
    site: Site, host: str, runs: int, run: Callable[[int], Timing]
) -> tuple[list[Timing], list[Timing]]:
    """Time the yardstick and a run of the site in turn; both have run before, so that all is as it should be."""
    site.yardstick(host)
    mine: list[Timing] = []
    others: list[Timing] = []
    for number in range(runs):
        others.append(site.yardstick(host))
        mine.append(run(number))
    return mine, others


def summary(mine: list[Timing], others: list[Timing]) -> dict[str, float]:
    """Return what the medians of both are."""
    return {
        "ours_seconds": median(timing.seconds for timing in mine),
        "yardstick_seconds": median(timing.seconds for timing in others),
        "ours_cpu_seconds": median(timing.cpu_seconds for timing in mine),
        "yardstick_cpu_seconds": median(timing.cpu_seconds for timing in others),
        "ours_max_rss_mb": max(timing.max_rss_mb for timing in mine),
        "ours_task_results": median(timing.results for timing in mine),
    }


def runs_of(mine: list[Timing], others: list[Timing]) -> list[dict[str, float]]:
    """Return the pairs of both."""
    return pairs([timing.seconds for timing in mine], [timing.seconds for timing in others], "yardstick")


def unchanged(timings: list[Timing]) -> list[str]:
    """Return what is wrong with runs that were to change nothing."""
    return [f"a run changed {timing.changed} tasks" for timing in timings if timing.changed]


def measure(name: str, site: Site, runs: int) -> Result:
    """Time runs that change nothing on a site that is installed."""
    site.converge()
    host = next(iter(site.groups))
    mine, others = against_yardstick(site, host, runs, lambda _: site.converge())
    problems = unchanged([*mine, *others])
    return Result(name, runs_of(mine, others), {**summary(mine, others), "problems": problems})


def invocations(site: Site) -> dict[str, str]:
    """Return what changes with each start of a unit, by host and unit."""
    found: dict[str, str] = {}
    for host in site.groups:
        shown = site.lab.run(
            host, "systemctl", "show", "--property=Id,InvocationID,ActiveEnterTimestampMonotonic", *_UNITS
        )
        for block in shown.strip().split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if values.get("InvocationID"):
                found[f"{host}: {values['Id']}"] = f"{values['InvocationID']} {values['ActiveEnterTimestampMonotonic']}"
    return found


def change(site: Site, runs: int) -> Result:
    """Time runs that change one option, which the triggerers alone read."""
    restarted: list[list[str]] = []

    def configure(number: int) -> None:
        capacity = _CAPACITIES[number % len(_CAPACITIES)]
        site.set("zz_change", {"airflow_config_overrides": {"triggerer": {"capacity": capacity}}})

    def run(number: int) -> Timing:
        configure(number)
        before = invocations(site)
        timing = site.converge()
        after = invocations(site)
        restarted.append(sorted(unit for unit in before.keys() | after.keys() if before.get(unit) != after.get(unit)))
        say(f"restarted: {', '.join(restarted[-1])}")
        return timing

    configure(1)
    site.converge()
    mine, others = against_yardstick(site, "control-1", runs, run)
    wanted = [f"control-{number}: airflow-triggerer.service" for number in (1, 2)]
    problems = [f"restarted {', '.join(units) or 'nothing'}" for units in restarted if units != wanted]
    details = {**summary(mine, others), "restarted": restarted, "problems": [*problems, *unchanged(others)]}
    return Result("change", runs_of(mine, others), details)
