"""Role scale_hook: its unit has run, asks Prometheus as itself, and its powers are few."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import testinfra
from airstrip_site import Site

UNIT = "airstrip-scale-hook.service"
TIMER = "airstrip-scale-hook.timer"
DIRECTORY = "/etc/airstrip/scale-hook"
METRICS = "/var/lib/airstrip/textfile/scale_hook.prom"
EXPOSURE = 3.0


@pytest.fixture(name="hooked")
def fixture_hooked(site: Site, inventory_hostname: str) -> Any:
    """The host, if a program makes and removes hosts from there."""
    host = testinfra.get_host(site.connection(inventory_hostname))
    if not host.file(DIRECTORY).exists:
        pytest.skip("site_scale_hook is not set")
    return host


def test_its_timer_runs_and_its_last_run_was_good(hooked: Any) -> None:
    assert hooked.service(TIMER).is_running
    assert hooked.service(TIMER).is_enabled
    end = time.monotonic() + 60
    while (asked := hooked.check_output(f"sed -n 's/^airstrip_scale_hook_asked //p' {METRICS}")) != "1":
        assert time.monotonic() < end, f"Prometheus has not answered it: {asked}"
        time.sleep(2)
    assert hooked.check_output(f"systemctl show --property=Result --value {UNIT}") == "success"


def test_its_login_is_its_own_and_hidden(hooked: Any, site: Site) -> None:
    assert hooked.check_output(f"stat --format='%U %a' {DIRECTORY}/password") == "root 600"
    held = hooked.file(f"{DIRECTORY}/password").content_string.strip()
    assert held == site.secrets["scale_hook_password"]
    assert held != site.secrets["monitoring_password"]
    assert json.loads(hooked.file(f"{DIRECTORY}/settings.json").content_string)["user"] == "scale_hook"


def test_its_unit_is_closed(hooked: Any) -> None:
    level = hooked.check_output(f"systemd-analyze security {UNIT} | tail -n 1")
    assert float(level.split(":")[1].split()[0]) <= EXPOSURE, level
