"""One run at a time changes a site: real processes of ansible-playbook, and what becomes of their locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_tree import PROJECT

PROGRAM = str(Path(sys.executable).with_name("ansible-playbook"))


class Lab:
    """A site of this machine alone, and a playbook that takes its lock and works for a while."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "hosts.yml").write_text("all: {hosts: {node: {ansible_connection: local}}}\n", encoding="utf-8")

    def start(self, name: str, seconds: float = 0, controller: str = "one", *options: str) -> subprocess.Popen[str]:
        """Start a run; `controller` names the file of its lock there, which two controllers do not share."""
        files = {"controller_file": str(self.directory / controller), "host_file": str(self.directory / "lease")}
        work: list[dict[str, Any]] = [{"run_lock": files}, {"run_lock": files}]
        work += [{"ansible.builtin.file": {"path": str(self.directory / f"{name}.begun"), "state": "touch"}}]
        work += [{"ansible.builtin.wait_for": {"timeout": seconds}}] if seconds else []
        play = {"hosts": "node", "gather_facts": False, "tasks": work}
        book = self.directory / f"{name}.yml"
        book.write_text(yaml.safe_dump([play]), encoding="utf-8")
        return subprocess.Popen(
            [PROGRAM, "--inventory", str(self.directory / "hosts.yml"), *options, str(book)],
            cwd=PROJECT,
            env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, name: str, controller: str = "one", *options: str) -> tuple[int, str]:
        """Make a run to its end; return its status and what it said."""
        run = self.start(name, 0, controller, *options)
        output, _ = run.communicate(timeout=120)
        return run.returncode, " ".join(output.split())

    @contextmanager
    def working(self, name: str) -> Iterator[subprocess.Popen[str]]:
        """A run that has its locks and works on."""
        run = self.start(name, 90)
        try:
            while not (self.directory / f"{name}.begun").exists():
                assert run.poll() is None, run.communicate()[0]
                time.sleep(0.1)
            yield run
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.communicate()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_second_run_is_refused_and_told_of_the_first(lab: Lab) -> None:
    with lab.working("upgrade") as first:
        # At once, as each has some seconds of patience.
        runs = [lab.start(f"site-{controller}", 0, controller) for controller in ("one", "another")]
        for run in runs:
            output = " ".join(run.communicate(timeout=120)[0].split())
            assert run.returncode != 0
            assert "Another run changes this site: upgrade.yml" in output
            assert f"process {first.pid}, since 20" in output
            assert "Wait for its end" in output
        assert not list(lab.directory.glob("site-*.begun"))


@pytest.mark.parametrize("controller", ["one", "another"])
def test_a_killed_run_frees_the_site_at_once(lab: Lab, controller: str) -> None:
    with lab.working("upgrade") as first:
        first.kill()
        # Not waited for: a process that nobody has collected yet has ended all the same.
        status, output = lab.finish("site", controller)
        assert status == 0, output


@pytest.mark.parametrize("controller", ["one", "another"])
def test_runs_follow_each_other(lab: Lab, controller: str) -> None:
    for name, place in (("first", "one"), ("second", controller)):
        status, output = lab.finish(name, place)
        assert status == 0, output


def test_a_run_that_only_looks_takes_no_lock(lab: Lab) -> None:
    with lab.working("upgrade"):
        status, output = lab.finish("site", "one", "--check")
        assert status == 0, output


@pytest.mark.parametrize(("left", "status"), [(-1, 0), (60, 2)])
def test_the_lease_of_a_controller_that_is_gone_ends_by_itself(lab: Lab, left: int, status: int) -> None:
    now = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    claim = {"playbook": "upgrade.yml", "user": "root@gone", "process": 1, "since": "2026-11-28 00:00:00 UTC"}
    (lab.directory / "lease").write_text(f"other {int(now) + left} {json.dumps(claim)}\n", encoding="utf-8")
    found, output = lab.finish("site")
    assert found == status, output
    assert ("root@gone" in output) == (status != 0)


def test_nothing_is_left_of_a_run(lab: Lab) -> None:
    lab.finish("site")
    lease = lab.directory / "lease"
    deadline = time.monotonic() + 10
    while lease.read_text(encoding="utf-8") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert lease.read_text(encoding="utf-8") == ""
    assert (lab.directory / "one").stat().st_mode & 0o777 == 0o600
