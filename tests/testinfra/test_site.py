"""What holds for every scenario, whichever roles it applies."""

from __future__ import annotations

import re
from typing import Any

from airstrip_site import Site


def test_no_unit_failed(host: Any) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_check_mode_reports_no_change(site: Site) -> None:
    result = site.command("ansible-playbook", "site.yml", "--check", "--diff")
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    recap = re.findall(r"^(\S+) +: ok=(\d+) +changed=(\d+) ", result.stdout, flags=re.MULTILINE)
    assert sorted(name for name, _, _ in recap) == site.hosts
    assert [name for name, ok, changed in recap if int(ok) == 0 or int(changed) != 0] == [], result.stdout[-8000:]


def test_secrets_file_is_private(site: Site) -> None:
    assert (site.directory / "secrets.yml").stat().st_mode & 0o777 == 0o600
