"""A new VM joins a site that works, and leaves it: only what it concerns is changed, whatever happens in between."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
from airstrip_newcomer import Newcomer, newcomer
from airstrip_prometheus import Prometheus
from airstrip_site import PROJECT, Site

NAME = "worker-3"
WORKERS = [{"name": "default", "queues": ["default"], "concurrency": 2}]
# How far it is when the first run is killed: it has packages and a part of its files.
KILLED_AT = "test -d /etc/airflow"
# Where something of it would be. Facts and certificates of the site are on the controller.
PLACES = "/etc /usr/local"
# What others may have of a new one: who may come, by what name, what is scraped, and whose journal is taken.
ALLOWED = re.compile(
    r"/etc/(hosts|hosts\.\w+|nftables\.conf|airstrip/(placed|status)[^/]*|postgresql/.*/pg_hba\.conf|haproxy/.*"
    r"|airstrip/(prometheus|journal-remote|firewall|host-status|exporters)/.*|cloud/templates/.*"
    r"|nftables(\.d)?/.*|redis/users\.acl|valkey/users\.acl"
    r"|systemd/system/airstrip-journal-receiver\.service)"
)
# What has to go on: they stop for nobody who joins.
SERVING = "'airflow-*.service' 'postgresql@*.service' redis-server.service valkey-server.service haproxy.service"


@dataclass(frozen=True)
class Look:
    """What a host has, and since when its services run."""

    files: dict[str, str]
    services: dict[str, str]


@dataclass
class Course:
    """What has happened with the new host so far."""

    new: Newcomer
    joined: Site
    before: dict[str, Look]
    checked: subprocess.CompletedProcess[str] | None = None
    resumed: str = ""
    seconds: float = 0


def connected(site: Site, name: str) -> Any:
    return testinfra.get_host(site.connection(name))


def look(site: Site, name: str) -> Look:
    host = connected(site, name)
    files = host.check_output(f"find {PLACES} -xdev -type f -exec sha256sum {{}} +").splitlines()
    shown = host.check_output(
        f"systemctl list-units --plain --no-legend --state=active --type=service {SERVING} | cut -d ' ' -f 1"
        " | xargs --no-run-if-empty systemctl show --property=Id,InvocationID"
    )
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n") if block]
    return Look(
        {path: digest for digest, path in (line.split(maxsplit=1) for line in files)},
        {block["Id"]: block["InvocationID"] for block in blocks},
    )


def looks(site: Site, names: Sequence[str]) -> dict[str, Look]:
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(lambda name: look(site, name), names), strict=True))


def done(site: Site, *arguments: str) -> str:
    result = site.command("ansible-playbook", *arguments)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    return result.stdout


def changes(output: str) -> dict[str, int]:
    """Return how many tasks have changed something, by host."""
    return {host: int(count) for host, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) ", output, re.MULTILINE)}


def kill_amid(site: Site, name: str) -> None:
    """Begin to take a host in, and kill the run when it has begun with it."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    argv = [program, *site.inventory_sources, "playbooks/join.yml", "--limit", name]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    process = subprocess.Popen(
        argv, cwd=site.root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        end, host = time.monotonic() + 600, connected(site, name)
        while host.run(KILLED_AT).rc != 0:
            assert process.poll() is None, "it had ended before it was killed"
            assert time.monotonic() < end, "it has not begun with the new host"
            time.sleep(0.5)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def course(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    with newcomer(site, NAME, tmp_path_factory.mktemp("join")) as new:
        course = Course(new, new.within("airflow_worker", site_workers=WORKERS), looks(site, site.hosts))
        course.checked = course.joined.command("ansible-playbook", "playbooks/join.yml", "--limit", NAME, "--check")
        kill_amid(course.joined, NAME)
        begun = time.monotonic()
        course.resumed = done(course.joined, "playbooks/join.yml", "--limit", NAME)
        course.seconds = time.monotonic() - begun
        yield course


def test_it_can_be_checked_before(course: Course) -> None:
    assert course.checked is not None
    assert course.checked.returncode == 0, course.checked.stdout[-8000:] + course.checked.stderr
    # Of the others, those alone whom it concerns are asked.
    assert not set(course.new.site.group("airflow_worker")) & set(changes(course.checked.stdout))


def test_a_killed_run_is_finished_by_the_next(course: Course, record_property: Any) -> None:
    assert changes(course.resumed)[NAME] > 0
    record_property("joined_after_a_killed_run", round(course.seconds))


def test_only_what_concerns_it_is_changed_elsewhere(course: Course) -> None:
    after = looks(course.new.site, course.new.site.hosts)
    for name, was in course.before.items():
        now = after[name]
        changed = {path for path in was.files | now.files if was.files.get(path) != now.files.get(path)}
        if name in course.new.site.group("airflow_worker"):
            assert not changed, f"{name}: {sorted(changed)}"
        else:
            assert all(ALLOWED.fullmatch(path) for path in changed), f"{name}: {sorted(changed)}"
        assert now.services == was.services, f"{name} has restarted something"


def test_it_works_and_is_watched(course: Course, prometheus: Prometheus) -> None:
    host = connected(course.joined, NAME)
    answer = host.run("airflow-celery --worker default inspect ping --timeout 10")
    assert f"default@{NAME}: OK" in answer.stdout, answer.stdout + answer.stderr
    end = time.monotonic() + 120
    while not prometheus.at_once(f'up{{instance=~"{NAME}.*"}} == 1'):
        assert time.monotonic() < end, "Prometheus does not see it"
        time.sleep(3)


def test_another_run_changes_nothing(course: Course) -> None:
    found = changes(done(course.joined, "playbooks/join.yml", "--limit", NAME))
    assert found[NAME] == 0
    assert set(found.values()) == {0}, found


def test_it_leaves_and_others_know_it_no_more(course: Course, record_property: Any) -> None:
    site = course.new.within("retired")
    begun = time.monotonic()
    done(site, "playbooks/retire.yml", "--limit", NAME)
    record_property("left", round(time.monotonic() - begun))
    host = connected(site, NAME)
    assert not host.check_output("systemctl list-units --plain --no-legend 'airflow-worker@*'")
    assert not host.file("/etc/airflow/credentials").exists
    for name in {course.new.site.group(group)[0] for group in ("postgresql", "monitoring")}:
        rules = connected(course.new.site, name).check_output("nft list ruleset 2>/dev/null || true")
        assert course.new.address not in rules, name
    after = looks(course.new.site, course.new.site.hosts)
    for name, was in course.before.items():
        assert after[name].services == was.services, f"{name} has restarted something"
