"""Roles airflow_heal and airflow_canary: who works is seen to, and who is asked says so."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

UNIT = "airstrip-airflow-heal"
DIRECTORY = "/etc/airstrip/airflow-heal"
METRICS = "/var/lib/airstrip/textfile/heal.prom"


@pytest.fixture(name="healed")
def fixture_healed(site: Site, inventory_hostname: str) -> Any:
    """The host, if components of Airflow are on it and the site is watched."""
    if not site.group("monitoring"):
        pytest.skip("the site has no monitoring")
    groups = ("api_server", "scheduler", "dag_processor", "triggerer", "worker")
    if not any(inventory_hostname in site.group(f"airflow_{name}") for name in groups):
        pytest.skip("the host has none of Airflow's components")
    return testinfra.get_host(site.connection(inventory_hostname))


def test_it_looks_and_nothing_hangs(healed: Any) -> None:
    assert healed.service(UNIT).is_running
    assert healed.service(UNIT).is_enabled
    text = healed.file(METRICS).content_string
    looked = float(re.findall(r"^airstrip_heal_timestamp_seconds (\S+)$", text, re.MULTILINE)[0])
    assert abs(float(healed.check_output("date +%s")) - looked) < 60
    assert "airstrip_hang{" not in text


def test_its_files_are_roots(healed: Any) -> None:
    for path, mode in ((f"{DIRECTORY}/password", 0o600), (f"{DIRECTORY}/settings.json", 0o644), (METRICS, 0o644)):
        file = healed.file(path)
        assert (file.user, file.group, file.mode) == ("root", "root", mode)
    assert healed.file("/run/airstrip-airflow-heal").mode == 0o700


def test_its_powers_are_few(healed: Any) -> None:
    main = healed.check_output(f"systemctl show --property=MainPID --value {UNIT}")
    bits = int(healed.check_output(f"awk '/^CapBnd/ {{print $2}}' /proc/{main}/status"), 16)
    # CAP_DAC_READ_SEARCH, CAP_KILL and CAP_SYS_PTRACE, capability.h.
    assert bits == 1 << 2 | 1 << 5 | 1 << 19


def test_the_canary_succeeds(site: Site, healed: Any) -> None:
    airflow: Airflow = site.airflow()
    assert healed.file("/usr/local/share/airflow/smoke_test/canary.json").user == "root"
    airflow.wait_for_dag("airstrip_canary", 120)
    end = time.monotonic() + 180
    while True:
        path = "/api/v2/dags/airstrip_canary/dagRuns"
        runs = airflow.request("GET", path, order_by="-run_after", limit="5")["dag_runs"]
        if any(run["state"] == "success" for run in runs):
            return
        assert time.monotonic() < end, runs
        time.sleep(2)
