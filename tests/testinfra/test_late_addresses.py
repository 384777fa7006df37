"""A host whose address comes late: what binds it waits, and then listens there."""

from __future__ import annotations

import re

import pytest
import testinfra
from airstrip_site import Site

pytestmark = pytest.mark.only_in("distributed")

# It goes on by itself, as the host cannot be reached meanwhile. What it says is read afterwards.
SCRIPT = """
exec >{said} 2>&1
set -x
route=$(ip route show default)
systemctl stop {units}
ip address del {address}/{prefix} dev {interface}
systemctl start --no-block {units}
sleep 5
systemctl is-active {units}
ip address add {address}/{prefix} broadcast + dev {interface}
ip route add $route
for _ in $(seq 60); do
    test "$(systemctl is-active {units} | sort -u)" = active && break
    sleep 1
done
systemctl is-active {units}
ss --listening --tcp --numeric --no-header
"""
SAID = "/root/airstrip-late"


def test_database_and_broker_wait_for_an_address_that_comes_late(site: Site) -> None:
    name = site.group("postgresql")[0]
    host, address = testinfra.get_host(site.connection(name)), site.address(name)
    shown = host.check_output(f"ip -oneline address show to {address}")
    found = re.search(r"^\d+: (\S+?)(?:@\S+)? +inet [0-9.]+/(\d+)", shown)
    assert found
    cluster = host.check_output("ls -d /etc/postgresql/*/main").split("/")[3]
    units = f"postgresql@{cluster}-main.service {site.broker}-server.service"
    script = SCRIPT.format(said=SAID, units=units, address=address, interface=found[1], prefix=found[2])
    host.check_output(f"printf %s '{script}' >{SAID}.sh")
    host.check_output(f"systemd-run --quiet --collect --unit=airstrip-late sh {SAID}.sh")
    deadline = "timeout 90 sh -c 'while systemctl is-active --quiet airstrip-late; do sleep 1; done'"
    # The session of SSH that is kept open has lost its host for some seconds.
    answer = host.run(deadline)
    answer = host.run(deadline) if answer.rc else answer
    said = host.check_output(f"cat {SAID}")
    states = [line for line in said.splitlines() if re.fullmatch("active|activating|inactive|failed", line)]
    assert states[:2] == ["activating", "activating"], said
    assert states[-2:] == ["active", "active"], said
    assert {f"{address}:5432", f"{address}:6379"} <= set(said.split())
    host.check_output(f"rm {SAID} {SAID}.sh")
    site.airflow().wait_until_healthy()
