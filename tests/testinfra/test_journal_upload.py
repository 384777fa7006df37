"""Role journal_upload: a host's journal goes to each monitoring host but itself."""

from __future__ import annotations

from typing import Any

from airstrip_site import Site

UNIT = "airstrip-journal-upload.service"
KEY = "/etc/airstrip/journal-upload/tls.key"
EXPOSURE = 1.3


def test_it_runs_for_each_monitoring_host_and_would_after_a_restart(
    host: Any, site: Site, inventory_hostname: str
) -> None:
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled
    listed = host.check_output("systemctl list-units --plain --no-legend --state=running 'airstrip-journal-upload@*'")
    wanted = {f"airstrip-journal-upload@{name}.service" for name in site.group("monitoring")}
    assert {line.split()[0] for line in listed.splitlines()} == wanted - {
        f"airstrip-journal-upload@{inventory_hostname}.service"
    }


def test_its_key_is_hidden(host: Any, site: Site, inventory_hostname: str) -> None:
    if site.group("monitoring") == [inventory_hostname]:
        assert not host.file(KEY).exists
        return
    assert host.check_output(f"stat --format='%U %a' {KEY}") == "root 600"


def test_the_units_are_closed(host: Any, site: Site) -> None:
    for unit in (UNIT, f"airstrip-journal-upload@{site.group('monitoring')[0]}.service"):
        level = host.check_output(f"systemd-analyze security {unit} | tail -n 1")
        assert float(level.split(":")[1].split()[0]) <= EXPOSURE, level
