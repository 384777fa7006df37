"""What is in the way of a takeover is said before the old installation stops; and what is not, does not matter.

For the host that molecule/shared/by_hand.sh has made, before the takeover. The odd values stay: tests/e2e/adopt tells
what has become of them.
"""

from __future__ import annotations

import json
import pickle
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from airstrip_site import Site

DATABASE = "airflow_hand"
UNITS = tuple(f"airflow-{name}.service" for name in ("scheduler", "triggerer", "webserver", "worker"))
# As XCom.set writes them, and the configuration of a run as Airflow 2 keeps it.
ODD_VALUES = r"""
INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp)
SELECT dag_run_id, task_id, map_index, odd.key, dag_id, run_id, convert_to(odd.value, 'UTF8'), timestamp
FROM xcom, (VALUES
  ('numbers', '[NaN, -Infinity]'), ('nul', '"a\u0000b"'), ('fine', '"NaN and \\u0000 are fine in a text"')
) AS odd (key, value)
WHERE task_id = 'report' AND xcom.key = 'return_value';
UPDATE dag_run SET conf = '\xCONF' WHERE run_id = 'made_by_hand';
""".replace("CONF", pickle.dumps({"limit": float("inf")}).hex())
# A user of a directory is one that NSS knows and /etc/passwd does not.
FROM_A_DIRECTORY = """
apt-get install -qq -y libnss-extrausers
cp --archive /etc/passwd /etc/passwd.before
cp --archive /etc/nsswitch.conf /etc/nsswitch.conf.before
grep ^airflow: /etc/passwd >/var/lib/extrausers/passwd
sed -i /^airflow:/d /etc/passwd
sed -i 's/^passwd:.*/& extrausers/' /etc/nsswitch.conf
"""
AS_BEFORE = """
mv /etc/passwd.before /etc/passwd
mv /etc/nsswitch.conf.before /etc/nsswitch.conf
"""


def adopt(site: Site, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    given = [f"--extra-vars={json.dumps(variables)}"] if variables else []
    return site.command("ansible-playbook", "playbooks/adopt.yml", *options, *given)


def said(result: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a run, its blanks made one each; it has to have changed nothing."""
    assert "changed=0" in result.stdout, result.stdout[-8000:] + result.stderr
    return " ".join(result.stdout.split())


@pytest.fixture(autouse=True)
def _nothing_has_stopped(node: Any) -> Iterator[None]:
    yield
    assert all(node.service(unit).is_running and node.service(unit).is_enabled for unit in UNITS)


@pytest.fixture(scope="module")
def _odd_values(node: Any) -> None:
    node.run_expect([0], "runuser --user postgres -- psql --set=ON_ERROR_STOP=1 %s --command=%s", DATABASE, ODD_VALUES)


@pytest.fixture
def _odd_user(node: Any) -> Iterator[None]:
    node.check_output(FROM_A_DIRECTORY)
    node.check_output("systemd-run --quiet --unit=left-over --uid=airflow sleep infinity")
    try:
        yield
    finally:
        node.check_output(f"systemctl stop left-over; {AS_BEFORE}")


@pytest.mark.usefixtures("_odd_values", "_odd_user")
def test_what_the_migration_or_the_site_stops_at_is_found(site: Site) -> None:
    result = adopt(site, "--check", airflow_adopt_confirmed_units=UNITS[1:], site_airflow_version="3.1.7")
    text = said(result)
    for expected in (
        "BLOCKING (units_unconfirmed)",
        "Nobody has confirmed airflow-scheduler.service:",
        "BLOCKING (user_elsewhere)",
        "sleep (left-over.service)",
        "1 XComs have NaN or Infinity in them, at which the migration to 3.1.7 stops",
        "1 XComs have the character NUL in them, at which the migration to 3.1.7 stops",
        "at which the migration to 3.1.7 stops: by_hand made_by_hand.",
    ):
        assert expected in text


def test_units_that_nobody_has_confirmed_are_not_stopped(site: Site) -> None:
    result = adopt(site, airflow_adopt_confirmed_units=UNITS[1:], airflow_adopt_dags_checked=False)
    assert result.returncode != 0
    assert "1 findings stand in the way; nothing was changed. - units_unconfirmed: These units" in said(result)


@pytest.mark.parametrize(
    ("user", "message"),
    [("root", "root is root on legacy-2"), ("nobody-at-all", "legacy-2 has no user nobody-at-all")],
)
def test_a_user_that_is_none_is_refused(site: Site, user: str, message: str) -> None:
    result = adopt(site, airflow_adopt_user=user)
    assert result.returncode != 0
    assert f"airflow_adopt_user: {message}" in said(result)


def test_a_user_without_a_home_and_a_shell_is_fine(site: Site, node: Any) -> None:
    """Also to begin with what site.yml makes of it: the takeover below goes on from here."""
    node.check_output("sed -i '/^airflow:/s,:[^:]*:[^:]*$,:/nonexistent:/usr/sbin/nologin,' /etc/passwd")
    assert node.user("airflow").shell == "/usr/sbin/nologin"
    result = adopt(site, "--check", airflow_adopt_dags_checked=False)
    assert result.returncode == 0
    assert "BLOCKING" not in said(result)
