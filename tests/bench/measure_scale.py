"""The measure `scale`: how a run that changes nothing grows with the number of hosts.

A hundred VMs are too much for one machine. So the workers of the inventory are many names of one host, each with an
address of its own: every name has its own facts, variables and tasks, and each task goes to the host and comes back.
What is not measured is what a hundred real hosts would do by themselves at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench_lab import Lab
from bench_play import BenchError, say
from bench_result import Result, slope
from bench_site import CONTROL, DATA, SHARED, WORKER, Site

COUNTS = (10, 30, 100)
_CONTROL, _WORKER = "control-1", "worker-1"


def addresses(lab: Lab, count: int) -> list[str]:
    """Return that many addresses at which the worker's host answers, its own first."""
    network = lab.network()
    added = [str(network.broadcast_address - 2 - number) for number in range(count - 1)]
    for address in added:
        lab.run(_WORKER, "ip", "address", "replace", f"{address}/{network.prefixlen}", "dev", "eth0")
    return [lab.address(_WORKER), *added]


def admit_all(lab: Lab) -> None:
    """Let the worker's SSH server take the connections of all its names at once: it would refuse some after ten."""
    command = "echo 'MaxStartups 1000' >/etc/ssh/sshd_config.d/bench.conf && systemctl reload ssh"
    lab.run(_WORKER, "sh", "-c", command)


def provide(lab: Lab, count: int) -> Site:
    """Write the inventory of a site of `count` hosts: one for all that is central, and workers."""
    names = [f"worker-{number}" for number in range(1, count)]
    alias = f"-o HostKeyAlias={lab.address(_WORKER)}"
    variables: dict[str, dict[str, Any]] = {
        name: {"ansible_host": address, "site_host_address": address, "ansible_ssh_extra_args": alias}
        for name, address in zip(names, addresses(lab, count - 1), strict=True)
    }
    site = Site(lab, {_CONTROL: (*DATA, *CONTROL)} | dict.fromkeys(names, WORKER))
    site.write("distributed", variables)
    # Few slots: the database's connections are counted for a hundred hosts, and one container serves them.
    workers = [{"name": "default", "queues": ["default"], "concurrency": 2}]
    # There are no load balancers that would have an address and a name.
    site.set("zz_scale", {"site_workers": workers, "site_virtual_address": "", "site_public_name": ""})
    return site


def time_at(lab: Lab, count: int) -> dict[str, Any]:
    """Settle a site of that many hosts, and time the next run."""
    say(f"{count} hosts: settle")
    site = provide(lab, count)
    site.converge()
    timing = site.converge()
    controller = f"{timing.cpu_seconds:.1f} s of the controller's processors, {timing.max_rss_mb:.0f} MB of its memory"
    say(f"{count} hosts: {timing.seconds:.1f} s, {controller}")
    return {
        "hosts": count,
        "seconds": timing.seconds,
        "controller_cpu_seconds": timing.cpu_seconds,
        "controller_max_rss_mb": timing.max_rss_mb,
        "task_results": timing.results,
        "changed": timing.changed,
    }


def measure(lab: Lab, runs: int, counts: Sequence[int]) -> Result:
    """Time sites of growing size; the ratio is the slope in seconds per host."""
    if len(set(counts)) < 2 or min(counts) < 2:
        raise BenchError("scale needs two counts of hosts or more, each at least 2: --hosts 10,30")
    lab.boot({_CONTROL: SHARED, _WORKER: SHARED})
    admit_all(lab)
    say("install control and one worker")
    site = provide(lab, 2)
    site.converge()
    site.yardstick(_CONTROL)
    yardstick = site.yardstick(_CONTROL)
    points = [[time_at(lab, count) for count in sorted(set(counts))] for _ in range(runs)]
    slopes = [slope([(point["hosts"], point["seconds"]) for point in each]) for each in points]
    problems = [
        f"with {point['hosts']} hosts, {point['changed']} tasks changed"
        for each in points
        for point in each
        if point["changed"]
    ]
    details = {"points": points, "yardstick_seconds": yardstick.seconds, "problems": problems}
    return Result("scale", [{"ratio": each} for each in slopes], details)
