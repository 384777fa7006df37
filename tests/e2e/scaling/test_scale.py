"""A set of workers follows the load, and no task dies of it.

The set `elastic` of molecule/scaling/molecule.yml: 2 to 10 instances of two slots, on two hosts.
"""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_prometheus import Prometheus
from airstrip_site import Site

DAG = Path(__file__).parent / "dags" / "airstrip_elastic.py"
TASKS, SECONDS = 300, 5
LEAST, MOST, SLOTS = 2, 10, 2
# What the least would take at best, without any time between two tasks.
LEAST_SECONDS = TASKS * SECONDS / (LEAST * SLOTS)
# From the first task that waits to the first task of a new instance.
FIRST = 60
# The scenario's stabilization, two steps down, and an evaluation and a look for each.
DOWN = 60 + 2 * 60 + 60
WANTED = 'airstrip:worker_instances_wanted{set="elastic"}'
UNITS = "systemctl list-units --plain --no-legend --state={} 'airflow-worker@elastic-*.service'"


class Watch:
    """What ran on the hosts, from look to look."""

    def __init__(self, site: Site) -> None:
        self.hosts = [testinfra.get_host(site.connection(name)) for name in site.group("airflow_worker")]
        self.seen: list[tuple[float, int]] = []

    def running(self, states: str = "active") -> int:
        """Return how many instances run on all hosts."""
        with ThreadPoolExecutor() as pool:
            texts = pool.map(lambda host: host.check_output(UNITS.format(states)), self.hosts)
            return sum(len(text.splitlines()) for text in texts)

    def look(self) -> int:
        """Look once, and remember it."""
        self.seen.append((time.time(), self.running()))
        return self.seen[-1][1]

    def until(self, count: int, seconds: float) -> None:
        """Look until so many run."""
        limit = time.monotonic() + seconds
        while (found := self.look()) != count:
            assert time.monotonic() < limit, f"{found} instances after {seconds} s, not {count}: {self.seen[-20:]}"
            time.sleep(2)

    @property
    def turns(self) -> int:
        """How often the number of instances changed its direction."""
        counts = [count for _, count in self.seen]
        ways = [after > before for before, after in itertools.pairwise(counts) if after != before]
        return sum(after != before for before, after in itertools.pairwise(ways))


@pytest.fixture(scope="module", autouse=True)
def dag(site: Site, airflow: Airflow) -> Iterator[None]:
    """Have the DAG; the site is at its least before and after."""
    host = testinfra.get_host(site.connection(site.group("airflow_dag_processor")[0]))
    path = f"/srv/airflow/dags/{DAG.name}"
    encoded = base64.b64encode(DAG.read_bytes()).decode()
    host.check_output(f"echo {encoded} | base64 -d >{path} && chmod 0644 {path}")
    airflow.wait_for_dag("airstrip_elastic", 180)
    airflow.request("PATCH", "/api/v2/dags/airstrip_elastic", {"is_paused": False})
    yield
    host.check_output(f"rm -f {path}")


@pytest.fixture
def watch(site: Site) -> Watch:
    """Begin with the least."""
    found = Watch(site)
    found.until(LEAST, DOWN + 300)
    found.seen.clear()
    return found


def moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def ended(airflow: Airflow, run: str, watch: Watch, seconds: float) -> list[dict[str, Any]]:
    """Watch a run until it ends; return its tasks: all have succeeded, at their first try."""
    limit = time.monotonic() + seconds
    while airflow.state("airstrip_elastic", run) not in ("success", "failed"):
        assert time.monotonic() < limit, f"not ended after {seconds} s: {watch.seen[-20:]}"
        watch.look()
        time.sleep(2)
    found = [task for task in airflow.tasks("airstrip_elastic", run) if task["task_id"] == "wait"]
    assert len(found) == TASKS
    assert {(task["state"], task["try_number"]) for task in found} == {("success", 1)}
    return found


def test_instances_come_and_go_with_the_load(airflow: Airflow, watch: Watch) -> None:
    run = airflow.start_new("airstrip_elastic", tasks=TASKS, seconds=SECONDS)
    tasks = ended(airflow, run, watch, LEAST_SECONDS)
    first, last = min(moment(task["queued_when"]) for task in tasks), max(moment(task["end_date"]) for task in tasks)
    more = next((at for at, count in watch.seen if count > LEAST), None)
    assert more is not None, watch.seen
    # When more tasks than the least can hold ran at one moment, a new instance had its first one.
    ends = [(moment(task["start_date"]), 1) for task in tasks] + [(moment(task["end_date"]), -1) for task in tasks]
    busy, beyond = 0, None
    for at, change in sorted(ends):
        busy += change
        if busy > LEAST * SLOTS:
            beyond = at
            break
    assert beyond is not None, watch.seen
    most = max(count for _, count in watch.seen)
    print(  # noqa: T201
        f"{TASKS} tasks of {SECONDS} s: {last - first:.0f} s, at best {LEAST_SECONDS:.0f} s with {LEAST} instances; "
        f"up to {most}; a new instance ran after {more - first:.0f} s, "
        f"and had its first task after {beyond - first:.0f} s"
    )
    assert most == MOST
    assert beyond - first <= FIRST
    assert last - first <= LEAST_SECONDS / 2
    watch.until(LEAST, DOWN)
    assert watch.turns <= 1, watch.seen


def test_hosts_are_asked_for(site: Site, watch: Watch) -> None:
    """Two hosts of one instance each, as the set has no `per_host`: the load before wanted as many as there may be."""
    watch.look()
    monitor = testinfra.get_host(site.connection(site.group("monitoring")[0]))
    said = monitor.check_output("journalctl --unit=airstrip-scale-hook --output=cat --since=-30min")
    assert f"set elastic wants {MOST} hosts and has {LEAST}" in said, said[-2000:]


def test_prometheus_may_be_killed_in_the_middle(site: Site, airflow: Airflow, watch: Watch) -> None:
    """While it is away, nothing changes; then all goes on from where it was."""
    monitor = testinfra.get_host(site.connection(site.group("monitoring")[0]))
    run = airflow.start_new("airstrip_elastic", tasks=TASKS, seconds=SECONDS)
    watch.until(MOST, 180)
    monitor.check_output("systemctl kill --signal=SIGKILL prometheus && systemctl stop prometheus")
    try:
        # What it said last counts for a minute.
        limit = time.monotonic() + 90
        while time.monotonic() < limit:
            assert watch.look() == MOST, watch.seen
            time.sleep(2)
    finally:
        monitor.check_output("systemctl start prometheus")
    ended(airflow, run, watch, LEAST_SECONDS)
    watch.until(LEAST, DOWN + 60)
    assert watch.turns <= 1, watch.seen


def test_what_is_wanted_is_told(prometheus: Prometheus, watch: Watch) -> None:
    watch.until(LEAST, DOWN)
    # Until the next samples, and the rules after them.
    limit = time.monotonic() + 60
    while sum(prometheus.at_once('airstrip:worker_instances_present{set="elastic"}')) != LEAST:
        assert time.monotonic() < limit
        time.sleep(2)
    assert prometheus.at_once(WANTED) == [LEAST]
    assert len(prometheus.at_once("time() - airstrip_worker_scale_last_answer_seconds < 60")) == len(
        ("worker-1", "worker-2")
    )


def test_what_somebody_else_has_started_is_taken_away(watch: Watch) -> None:
    watch.hosts[0].check_output("systemctl start airflow-worker@elastic-9.service")
    watch.until(LEAST, 120)


def test_a_host_that_is_drained_loses_none_of_its_tasks_and_gets_none(
    site: Site, airflow: Airflow, watch: Watch
) -> None:
    """The timer is against nobody: who stops the set's first instance stops them all, and the other host takes over."""
    run = airflow.start_new("airstrip_elastic", tasks=TASKS, seconds=SECONDS)
    watch.until(MOST, 180)
    name = site.group("airflow_worker")[0]
    host = testinfra.get_host(site.connection(name))
    result = site.command("ansible-playbook", "playbooks/drain.yml", "--limit", name)
    try:
        assert result.returncode == 0, result.stdout + result.stderr
        for _ in range(15):
            assert host.check_output(UNITS.format("active,activating")) == ""
            time.sleep(2)
        found = [task for task in airflow.tasks("airstrip_elastic", run) if task["task_id"] == "wait"]
        assert not [task for task in found if task["state"] in ("failed", "up_for_retry") or task["try_number"] > 1]
    finally:
        back = site.command("ansible-playbook", "playbooks/undrain.yml", "--limit", name)
    assert back.returncode == 0, back.stdout + back.stderr
    ended(airflow, run, watch, LEAST_SECONDS)
