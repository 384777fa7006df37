"""Role airflow_schema: the schema of the metadata database is the one that the release expects."""

from __future__ import annotations

import testinfra
from airstrip_site import Site


def test_no_migration_is_due(site: Site) -> None:
    scheduler = testinfra.get_host(site.connection(site.group("airflow_scheduler")[0]))
    checked = scheduler.run("airflow db check-migrations --migration-wait-timeout 0")
    assert checked.rc == 0, checked.stderr
