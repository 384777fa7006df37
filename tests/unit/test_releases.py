"""What roles/airflow_release/files/find_releases.py finds on the host that it runs on, and how a release is built."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_module import load
from airstrip_render import Role
from airstrip_tree import PROJECT, Tree

LOOK = PROJECT / "roles" / "airflow_release" / "files" / "find_releases.py"
look = load(LOOK)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory of four releases, from A, the oldest one, to D, which is not complete."""
    for age, name in enumerate("DCBA"):
        release = tmp_path / "releases" / f"3.3.2-{name}"
        release.mkdir(parents=True)
        if name != "D":
            (release / "complete").touch()
        moment = time.time() - 1000 * age - 1000
        os.utime(release, (moment, moment))
    return tmp_path


def test_releases_are_found_by_their_age(directory: Path) -> None:
    (directory / "releases" / "link").symlink_to("3.3.2-A")
    assert look.releases(directory) == [
        {"name": "3.3.2-D", "complete": False},
        *({"name": f"3.3.2-{name}", "complete": True} for name in "CBA"),
    ]


def test_in_use_is_what_the_link_a_unit_or_a_process_names(directory: Path, tmp_path: Path) -> None:
    (directory / "current").symlink_to(directory / "releases" / "3.3.2-A")
    units = tmp_path / "units"
    (units / "airflow-worker@.service.d").mkdir(parents=True)
    (units / "airflow-scheduler.service").write_text(f"[Service]\nExecStart={directory}/releases/3.3.2-B/bin/airflow x")
    (units / "airflow-worker@.service.d" / "a.conf").write_text(f"Environment=X='{directory}/releases/3.3.2-D'\n")
    assert look.used(directory, units) == ["3.3.2-A", "3.3.2-B", "3.3.2-D"]
    command = f"{directory}/releases/3.3.2-C/bin/airflow"
    with subprocess.Popen([sys.executable, "-c", "input()", command], stdin=subprocess.PIPE) as process:
        found = look.used(directory, units)
        process.communicate(b"\n")
    assert found == ["3.3.2-A", "3.3.2-B", "3.3.2-C", "3.3.2-D"]


def test_nothing_is_in_use_where_there_is_nothing(tmp_path: Path) -> None:
    assert look.used(tmp_path / "airflow", tmp_path / "units") == []
    assert look.releases(tmp_path / "airflow") == []


def test_a_release_is_removed_by_nothing_but_the_end_of_an_upgrade() -> None:
    tree = Tree()
    removing = [
        task
        for task in tree.tasks("airflow_release")
        if task.arguments.get("state") == "absent" and "release" in str(task.arguments["path"])
    ]
    assert [task.place.partition(":")[0] for task in removing] == ["roles/airflow_release/tasks/prune.yml"]
    uses = [
        task.place.partition(":")[0]
        for role in tree.roles
        for task in tree.tasks(role)
        if (task.arguments.get("name"), task.arguments.get("tasks_from")) == ("airflow_release", "prune")
    ]
    assert uses == ["roles/airflow_upgrade/tasks/clean_up.yml"]
    # After the block that may go back, which ends the run if it does.
    plays = yaml.safe_load((PROJECT / "roles" / "airflow_upgrade" / "tasks" / "main.yml").read_text(encoding="utf-8"))
    assert [set(task) & {"block", "ansible.builtin.import_tasks"} for task in plays[-2:]] == [
        {"block"},
        {"ansible.builtin.import_tasks"},
    ]
    assert plays[-1]["ansible.builtin.import_tasks"] == "clean_up.yml"


UV = """#!/bin/sh
case $1 in
    venv) mkdir -p "$RELEASE/bin" "$RELEASE/lib"; echo begin >>"$LOG"; sleep "$PAUSE"; echo end >>"$LOG" ;;
    pip) test ! -e "$RELEASE/broken" ;;
esac
"""


@pytest.fixture
def build(tmp_path: Path) -> Any:
    """A function that starts to build a release of 3.3.2, with a uv that only takes time."""
    variables = {"airflow_install_directory": str(tmp_path), "airflow_release_python": f"{tmp_path}/python"}
    role = Role("airflow_release", variables)
    release = Path(role.evaluate("airflow_release.directory"))
    release.mkdir(parents=True)
    tools = tmp_path / "tools" / "uv" / "bin"
    tools.mkdir(parents=True)
    for path, text in {tmp_path / "python": "#!/bin/sh\n", tools / "pip": "#!/bin/sh\n", tools / "uv": UV}.items():
        path.write_text(text)
        path.chmod(0o755)
    (release / "build.env").touch()
    script = release / "build.sh"
    script.write_text(role.render("build.sh.j2"))
    script.chmod(0o755)

    def start(pause: float) -> subprocess.Popen[str]:
        environment = {
            "PATH": "/usr/bin:/bin", "RELEASE": str(release), "LOG": f"{tmp_path}/log", "PAUSE": str(pause),
        }  # fmt: skip
        return subprocess.Popen([script], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)

    start.release = release  # type: ignore[attr-defined]
    start.log = tmp_path / "log"  # type: ignore[attr-defined]
    return start


def wait_for(path: Path) -> None:
    for _ in range(100):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} never came")


def test_a_second_build_waits_and_finds_the_release_of_the_first(build: Any) -> None:
    first = build(1)
    wait_for(build.log)
    second = build(0)
    assert (first.communicate()[1], first.returncode) == ("", 0)
    assert (second.communicate()[1], second.returncode) == ("Waited for another build on this host.\n", 0)
    assert build.log.read_text().split() == ["begin", "end"]
    assert (build.release / "complete").exists()


def test_a_build_that_was_killed_leaves_no_lock_and_nothing_of_its_own(build: Any) -> None:
    first = build(60)
    wait_for(build.log)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    (build.release / "lib" / "half").touch()
    second = build(0)
    assert (second.communicate()[1], second.returncode) == ("", 0)
    assert not (build.release / "lib" / "half").exists()
    assert (build.release / "complete").exists()


def test_a_build_that_fails_leaves_no_mark(build: Any) -> None:
    (build.release / "broken").touch()
    process = build(0)
    process.communicate()
    assert process.returncode != 0
    assert not (build.release / "complete").exists()


def test_a_release_in_use_is_never_emptied(build: Any) -> None:
    (build.release.parents[1] / "current").symlink_to(build.release)
    (build.release / "lib").mkdir()
    (build.release / "lib" / "loaded").touch()
    (build.release / "broken").touch()
    build(0).communicate()
    assert (build.release / "lib" / "loaded").exists()
