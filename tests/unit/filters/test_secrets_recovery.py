"""What a controller that has lost a site's secrets takes from the hosts, and what it makes anew."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from airstrip_render import Role
from ansible.errors import AnsibleFilterError
from ansible.template import trust_as_template
from secrets_recovery import airflow_secrets_read, airflow_secrets_recovery, airflow_secrets_recovery_report

SAID: dict[str, Any] = {
    "file": "/inventory/.secrets.yml", "ca_file": "/inventory/ca.crt", "admin": "admin", "host": "a1", "silent": [],
    "roles": [], "users": [],
}  # fmt: skip


def slurped(path: str, content: str) -> dict[str, Any]:
    return {"airflow_secrets_recovery_path": path, "content": base64.b64encode(content.encode()).decode()}


def missed(path: str, said: str) -> dict[str, Any]:
    return {"airflow_secrets_recovery_path": path, "msg": said}


def test_files_are_read_and_hosts_that_say_nothing_are_named() -> None:
    looks: dict[str, Any] = {
        "w1": {"results": [slurped("/a", "one\n"), missed("/b", "file not found: /b")]},
        "w2": {"results": [slurped("/a", "two"), missed("/b", "timed out")]},
        "w3": {"unreachable": True},
    }
    assert airflow_secrets_read(looks) == {
        "files": {"w1": {"/a": "one\n"}, "w2": {"/a": "two"}, "w3": {}},
        "silent": ["w2", "w3"],
    }


def test_what_is_missing_comes_from_hosts_or_is_made_anew() -> None:
    found = {"airflow_jwt_secret": "new", "airflow_fernet_key": "theirs", "airflow_broker_password": "same"}
    known = {"airflow_fernet_key": "ours", "airflow_broker_password": "same", "redis_admin_password": "kept"}
    held = [*found, "airflow_api_secret_key"]
    assert airflow_secrets_recovery(found, known, held) == {
        "recovered": ["airflow_jwt_secret"],
        "made": ["airflow_admin_password", "airflow_ca_key"],
        "left": ["airflow_api_secret_key"],
        "conflicts": ["airflow_fernet_key"],
    }


def test_the_report_tells_all() -> None:
    names = {
        "recovered": ["airflow_fernet_key", "airflow_jwt_secret"],
        "made": ["airflow_admin_password", "redis_admin_password"],
        "left": ["airflow_api_secret_key"],
    }
    more = {"silent": ["w2"], "roles": ["app", "report"], "users": ["ann"]}
    assert airflow_secrets_recovery_report(names, SAID | more) == [
        "Recovered from the hosts: airflow_fernet_key, airflow_jwt_secret.",
        "Made anew, as no host has them:",
        "  airflow_admin_password: the account admin keeps its password. If you know that, put it into the file in "
        "place of the new one; else give the account the new one, on a1: sudo airflow users reset-password --username "
        "admin",
        "  redis_admin_password: the broker takes it at the next run of site.yml",
        "  postgresql_role_<name>, if missing, at the next run of site.yml, for app, report: tell its clients",
        "  airflow_user_<name>, if missing, at the next run of site.yml, for ann: the accounts keep their passwords",
        "Not on the hosts that could be read, so made anew by site.yml where they are needed: airflow_api_secret_key.",
        "Could not be read, so look at them before you go on: w2.",
        "All are in /inventory/.secrets.yml: back it up, and run site.yml.",
    ]


def test_the_report_is_short_if_nothing_was_missing() -> None:
    assert airflow_secrets_recovery_report({"recovered": [], "made": [], "left": []}, SAID) == [
        "Recovered from the hosts: nothing that was missing.",
        "Nothing had to be made anew.",
        "All are in /inventory/.secrets.yml: back it up, and run site.yml.",
    ]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="the hosts must be a mapping"):
        airflow_secrets_read(["w1"])
    with pytest.raises(AnsibleFilterError, match="the names must be a list"):
        airflow_secrets_recovery({}, {}, "airflow_jwt_secret")


def test_what_would_be_generated_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "secrets.yml").write_text("kept: of the file\nairflow_jwt_secret: of the file, too\n", encoding="utf-8")
    generated = {
        f"airflow_{name}": f"{{{{ lookup('airflow_secret', 'airflow_{name}') }}}}" for name in ("a", "jwt_secret")
    }
    role = Role(
        "airflow_secrets_recovery",
        {name: trust_as_template(text) for name, text in generated.items()}
        | {
            "airflow_secrets_file": str(tmp_path / "secrets.yml"),
            "airflow_secrets_persist": False,
            "given": "by a vault",
        },
    )
    names = "'kept', 'unknown', 'given', 'airflow_jwt_secret', 'airflow_a'"
    assert role.evaluate(f"lookup('airflow_secrets_known', {names})") == {
        "kept": "of the file",
        "given": "by a vault",
        "airflow_jwt_secret": "of the file, too",
    }
    assert "airflow_a" not in (tmp_path / "secrets.yml").read_text(encoding="utf-8")
