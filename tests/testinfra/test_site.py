"""What holds for every scenario, whichever roles it applies."""

from __future__ import annotations

import re
from typing import Any

import pytest
from airstrip_site import Site


def test_no_unit_failed(host: Any) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_check_mode_reports_no_change(site: Site) -> None:
    result = site.command("ansible-playbook", "site.yml", "--check", "--diff", "-vvv")
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    recap = re.findall(r"^(\S+) +: ok=(\d+) +changed=(\d+) ", result.stdout, flags=re.MULTILINE)
    assert sorted(name for name, _, _ in recap) == site.hosts
    assert [name for name, ok, changed in recap if int(ok) == 0 or int(changed) != 0] == [], result.stdout[-8000:]
    # However much it tells, no secret is among it. Names only: a failed assertion is read by everybody.
    told = [name for name, value in site.secrets.items() if value in result.stdout + result.stderr]
    assert told == []


@pytest.mark.only_in("local_executor")
def test_secrets_file_is_encrypted(site: Site) -> None:
    assert (site.directory / "secrets.yml").read_bytes().startswith(b"$ANSIBLE_VAULT;1.1;AES256")
    assert len(site.secrets["airflow_admin_password"]) >= 16


def test_secrets_file_is_private(site: Site) -> None:
    assert (site.directory / "secrets.yml").stat().st_mode & 0o777 == 0o600
