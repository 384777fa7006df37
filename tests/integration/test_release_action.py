"""The action that finds a release, as a play calls it on the controller itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_tree import PROJECT

LOCKS = PROJECT / "roles" / "airflow_release" / "files" / "locks"


def find(tmp_path: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the action; its result is in `release.json`."""
    options = {"version": "3.3.2", "extras": ["celery"], "extra_packages": [], "python_version": "3.13"}
    options |= {"constraints": "", "locks": str(LOCKS), "directory": str(tmp_path), **more}
    copy = {"content": "{{ found | to_json }}", "dest": str(tmp_path / "release.json"), "mode": "0600"}
    tasks = [{"airflow_release": options, "register": "found"}, {"ansible.builtin.copy": copy, "check_mode": False}]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), "--inventory", "localhost,", str(tmp_path / "play.yml"), "--check"]
    argv += ["--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable})]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(argv, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True)


def found(tmp_path: Path, **more: Any) -> dict[str, Any]:
    result = find(tmp_path, **more)
    assert result.returncode == 0, result.stdout + result.stderr
    release: dict[str, Any] = json.loads((tmp_path / "release.json").read_text(encoding="utf-8"))
    return release


def test_a_release_is_complete_when_its_mark_is_there(tmp_path: Path) -> None:
    before = found(tmp_path)
    assert before["directory"] == f"{tmp_path}/releases/{before['name']}"
    assert before["packages"] == f"{before['directory']}/lib/python3.13/site-packages"
    assert (before["complete"], before["changed"]) == (False, False)
    assert before["revisions"] == json.loads((LOCKS / "3.3.2" / "metadata.json").read_text())["alembic_heads"]
    Path(before["directory"]).mkdir(parents=True)
    Path(before["directory"], "complete").touch()
    assert found(tmp_path)["complete"] is True


def test_a_release_with_modules_of_the_system_is_another_one(tmp_path: Path) -> None:
    assert found(tmp_path)["name"] == found(tmp_path, system_modules=[])["name"]
    assert found(tmp_path)["name"] != found(tmp_path, system_modules=["ldap"])["name"]


def test_a_version_without_a_lock_takes_constraints(tmp_path: Path) -> None:
    release = found(tmp_path, version="3.2.0", constraints="/srv/constraints.txt")
    assert (release["revisions"], release["providers"]) == ({}, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"version": "3.2.0"}, "site_airflow_version: there is no lock of Airflow 3.2.0 for Python 3.13"),
        ({"version": "newest", "constraints": "/c"}, "site_airflow_version must look like 3.3.2, found 'newest'"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path: Path, given: dict[str, str], message: str) -> None:
    result = find(tmp_path, **given)
    assert result.returncode != 0
    assert message in " ".join(result.stdout.split())
