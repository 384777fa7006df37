"""What a refused or failed upgrade leaves, on the single VM that the other module has left on the old release."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airstrip_edge import wait_for
from airstrip_postgresql import sql
from airstrip_site import Site
from airstrip_units import properties
from airstrip_upgrade import MARK, assert_all_run, assert_failed, assert_works, rollback, upgrade, variables

OLD, NEW = "3.2.2", "3.3.2"
PACKAGE = "apache-airflow-providers-imap"
# A DAG file, by the words that Airflow looks for, which no release with the package can import.
REFUSED = "# dag\nimport importlib.util\nassert importlib.util.find_spec('airflow.providers.imap') is None\n"
# A table that the migrations to NEW create: those before it are committed when it fails.
IN_THE_WAY = "connection_test_request"
# What a dump that is made before the stop takes is nothing that was asked for by its size: here, any database is large.
LARGE = {"airflow_upgrade_quiet_dump_mb": 0}


def identity(database: Any) -> str:
    """Return what tells the metadata database from one that has taken its place."""
    return sql(database, "SELECT oid FROM pg_database WHERE datname = 'airflow'")


def set_aside(database: Any) -> list[str]:
    """Return the databases that restores have set aside."""
    return sql(database, "SELECT datname FROM pg_database WHERE datname LIKE 'airflow_until_%'", "postgres").split()


@contextmanager
def in_the_way(database: Any) -> Iterator[None]:
    """Make the migration to NEW fail half-way."""
    sql(database, f"CREATE TABLE {IN_THE_WAY} (id int)")
    yield
    sql(database, f"DROP TABLE IF EXISTS {IN_THE_WAY}")
    for name in set_aside(database):
        sql(database, f"DROP DATABASE {name}", "postgres")


def test_refused_builds_leave_the_release_in_use(
    site: Site, hosts: dict[str, Any], put_dag: Callable[[str, str], None]
) -> None:
    host = hosts["node-1"]
    used = host.check_output("readlink /opt/airflow/current")
    # Three builds that were refused: to whoever looks at their age, the one in use is the oldest.
    refused = [f"/opt/airflow/releases/{OLD}-00000000000{number}" for number in range(3)]
    host.check_output(f"mkdir -p {' '.join(refused)} && touch {'/complete '.join(refused)}/complete")
    put_dag("airstrip_refused.py", REFUSED)
    try:
        run = upgrade(site, OLD, *variables(airflow_release_extra_packages=[PACKAGE]))
    finally:
        put_dag("airstrip_refused.py", "")
    assert_failed(run, "airflow_upgrade_import_errors_allowed", "airstrip_refused.py")
    assert host.file(f"{used}/complete").exists
    assert all(host.file(path).exists for path in refused)
    assert_all_run(site, hosts, OLD)


def test_a_session_that_is_open_does_not_stop_a_restore(site: Site, hosts: dict[str, Any], database: Any) -> None:
    host = hosts["node-1"]
    before, schema = identity(database), sql(database, "SELECT version_num FROM alembic_version")
    # Somebody looks at the database all the time, and a component was stopped on purpose.
    host.check_output(
        "systemd-run --collect --uid=postgres --unit=airstrip-session"
        " psql --dbname=airflow --command='SELECT pg_sleep(3600)'"
    )
    host.check_output("systemctl disable --now airflow-triggerer")
    with in_the_way(database):
        run = upgrade(site, NEW)
        assert_failed(run, f"the site is back on {OLD}-", "Migrate the database")
        assert len(set_aside(database)) == 1
    assert identity(database) != before
    assert sql(database, "SELECT version_num FROM alembic_version") == schema
    wait_for(lambda: properties(host, "airstrip-session", "ActiveState")["ActiveState"] != "active", "an ended session")
    assert properties(host, "airflow-triggerer", "ActiveState", "UnitFileState") == {
        "ActiveState": "inactive",
        "UnitFileState": "disabled",
    }
    host.check_output("systemctl enable --now airflow-triggerer")
    assert_works(site)
    assert_all_run(site, hosts, OLD)


def test_a_dump_that_was_made_while_all_ran_is_not_restored(site: Site, hosts: dict[str, Any], database: Any) -> None:
    before, schema = identity(database), sql(database, "SELECT version_num FROM alembic_version")
    with in_the_way(database):
        assert_failed(upgrade(site, NEW, *variables(**LARGE)), f"the site is back on {OLD}-", "Migrate the database")
        assert (identity(database), set_aside(database)) == (before, [])
    assert sql(database, "SELECT version_num FROM alembic_version") == schema
    assert_all_run(site, hosts, OLD)
    assert_works(site)


def test_what_a_restore_loses_is_said_and_accepted_before(site: Site, hosts: dict[str, Any], database: Any) -> None:
    before, schema = identity(database), sql(database, "SELECT version_num FROM alembic_version")
    with in_the_way(database):
        # Airflow's downgrade fails, too.
        sql(
            database,
            "CREATE FUNCTION airstrip_refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF current_query() ILIKE '%DROP%' THEN RAISE 'airstrip keeps it'; END IF; END $$;"
            "CREATE EVENT TRIGGER airstrip_refuse ON ddl_command_start EXECUTE FUNCTION airstrip_refuse()",
        )
        run = upgrade(site, NEW, *variables(**LARGE))
        words = " ".join(run.stdout.split())
        assert_failed(run, "airstrip keeps it", "nothing is lost", "airflow_upgrade_rollback_confirmed=true")
        assert re.search(r"the dump of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+, after which Airflow may have written", words)
        assert (identity(database), set_aside(database)) == (before, [])
        assert hosts["node-1"].file(MARK).exists
        back = rollback(site, NEW, *variables(airflow_upgrade_rollback_confirmed=True))
        assert back.returncode == 0, back.stdout[-5000:]
        assert len(set_aside(database)) == 1
        sql(database, "DROP EVENT TRIGGER airstrip_refuse; DROP FUNCTION airstrip_refuse()")
    assert sql(database, "SELECT version_num FROM alembic_version") == schema
    assert_all_run(site, hosts, OLD)
    assert_works(site)


def test_what_the_controller_keeps_is_for_its_owner_alone(site: Site) -> None:
    kept = [site.directory / ".backups", *(site.directory / ".backups").rglob("*")]
    assert [path for path in kept if path.name == "database.pgc"]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in kept}
    assert {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
