"""Bad input is refused before anything changes: by site.yml --tags validate, with the variable and the remedy."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
from airstrip_site import PROJECT

EXAMPLES = PROJECT / "examples" / "workers"
OWN = {"name": "own", "command": ["/usr/bin/sleep", "infinity"], "runtime": "none", "source": str(EXAMPLES / "queue")}


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ({**OWN, "command": []}, "the app own has no command"),
        ({**OWN, "runtime": "ruby"}, "the app own has the runtime 'ruby'"),
        ({**OWN, "port": 8100, "health": {"tcp": True}}, "port 8100 is used by site_app_workers (engine, instance 1)"),
        ({**OWN, "port": 9999, "health": {"tcp": True}}, "port 9999 is used by"),
        ({**OWN, "port": 8200}, "the app own has a port and no health"),
        ({**OWN, "name": "engine"}, "site_app_workers has 2 apps of the name engine"),
        ({**OWN, "scale": {"min": 1, "max": 2, "target": 1}}, "the app own has a scale without a series"),
        ({**OWN, "source": "/nowhere"}, "the app own has a source that cannot be read"),
        ({**OWN, "runtime": "python"}, "the app own has no requirements.txt in its source"),
        ({**OWN, "credentials": {"key": "airflow_fernet_key"}}, "which is the site's own"),
    ],
)
def test_an_app_is_refused(apply: Any, declared: Any, app: dict[str, Any], expected: str) -> None:
    result = apply("--tags", "validate", site_app_workers=[*copy.deepcopy(declared), app])
    assert result.returncode != 0
    assert expected in " ".join(result.stdout.split())


def test_a_lock_of_another_python_is_refused(apply: Any, declared: Any, tmp_path: Path) -> None:
    place = tmp_path / "old"
    shutil.copytree(EXAMPLES / "camunda", place)
    lock = place / "requirements.txt"
    lock.write_text(lock.read_text().replace("--python-version 3.13", "--python-version 3.9"))
    app = {**OWN, "runtime": "python", "source": str(place)}
    result = apply("--tags", "validate", site_app_workers=[*declared, app])
    assert result.returncode != 0
    assert "that is made for Python 3.9, and the host has 3.1" in " ".join(result.stdout.split())


def test_a_port_of_a_foreign_process_is_refused(apps: Any, apply: Any, declared: Any) -> None:
    apps.check_output("systemd-run --quiet --collect --unit=foreign python3 -m http.server 8222")
    try:
        app = {**OWN, "port": 8222, "health": {"tcp": True}}
        result = apply("--tags", "validate", site_app_workers=[*declared, app])
    finally:
        apps.check_output("systemctl stop foreign.service")
    assert result.returncode != 0
    assert "site_app_workers (own, instance 1): port 8222 is held by" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "dbt_project_source has no dbt_project.yml"),
        ("name: shop\n", "its dbt_project.yml has no profile"),
        (
            "name: shop\nprofile: other\n",
            "dbt_profile is shop, and the project's dbt_project.yml has the profile other",
        ),
    ],
)
def test_a_project_of_dbt_is_refused(apply: Any, tmp_path: Path, text: str | None, expected: str) -> None:
    place = tmp_path / "project"
    place.mkdir()
    if text is not None:
        (place / "dbt_project.yml").write_text(text)
    result = apply("--tags", "validate", dbt_project_source=str(place))
    assert result.returncode != 0
    assert expected in " ".join(result.stdout.split())
