"""A controller that has lost the site's secrets, and a site that has lost its database: refused, and recovered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_postgresql import sql
from airstrip_site import Site, read_secrets

# On no host; the last one only with a broker.
MADE_ANEW = {"airflow_admin_password", "airflow_ca_key", "redis_admin_password"}
# Hosts have these only where there are Celery's results.
OF_CELERY = {"airflow_results_database_password", "airflow_results_reader_password"}


def changes(output: str) -> list[int]:
    """Return how many tasks changed something, on each host."""
    return [int(count) for count in re.findall(r" changed=(\d+) ", output)]


def run(site: Site, playbook: str, secrets: Path, *arguments: str) -> tuple[int, str]:
    """Run a playbook with another secrets file; return its exit status and its output."""
    result = site.command("ansible-playbook", playbook, "-e", f"site_secrets_file={secrets}", "--diff", *arguments)
    output = result.stdout + result.stderr
    assert [name for name, value in site.secrets.items() if value in output] == []
    return result.returncode, " ".join(output.split())


def write(path: Path, secrets: Mapping[str, str]) -> Path:
    path.write_text(yaml.safe_dump(dict(secrets)), encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """Where a secrets file is to be, and is not."""
    return tmp_path / "inventory" / ".secrets.yml"


def test_a_fresh_clone_is_refused_and_makes_nothing(site: Site, lost: Path) -> None:
    status, output = run(site, "site.yml", lost)
    assert status != 0
    assert "airflow_jwt_secret" in output
    assert "playbooks/recover_secrets.yml" in output
    assert set(changes(output)) == {0}
    assert not lost.exists()


def test_a_secret_that_no_host_has_is_new(site: Site, tmp_path: Path) -> None:
    known = {name: value for name, value in site.secrets.items() if name not in MADE_ANEW}
    assert run(site, "site.yml", write(tmp_path / "known.yml", known), "--tags", "validate")[0] == 0


def test_secrets_are_recovered_from_the_hosts(site: Site, lost: Path) -> None:
    status, output = run(site, "playbooks/recover_secrets.yml", lost, "--check")
    assert status == 0, output[-3000:]
    assert not lost.exists()
    status, output = run(site, "playbooks/recover_secrets.yml", lost)
    assert status == 0, output[-3000:]
    # With a vault password in the environment, the new file is encrypted, too.
    recovered = read_secrets(lost)
    anew = {name for name in recovered if recovered[name] != site.secrets.get(name)}
    assert {"airflow_fernet_key", "airflow_jwt_secret", "airflow_database_password"} <= set(recovered) - anew
    assert anew <= MADE_ANEW | (set() if site.group("airflow_worker") else OF_CELERY)
    assert all(name in output for name in recovered)
    assert not [name for name, value in recovered.items() if value in output]
    # Again, there is nothing to do.
    status, output = run(site, "playbooks/recover_secrets.yml", lost)
    assert (status, set(changes(output))) == (0, {0})
    # Who knows the administrator's password puts it there; and nothing changes on the hosts.
    write(lost, recovered | {"airflow_admin_password": site.secrets["airflow_admin_password"]})
    status, output = run(site, "site.yml", lost, "--check", "--tags", "postgresql,airflow_scheduler")
    assert status == 0, output[-3000:]
    assert set(changes(output)) == {0}


def test_recovery_replaces_no_secret(site: Site, tmp_path: Path) -> None:
    path = write(tmp_path / "other.yml", {"airflow_jwt_secret": "another-secret-of-another-site-zq-7"})
    content = path.read_text(encoding="utf-8")
    status, output = run(site, "playbooks/recover_secrets.yml", path)
    assert status != 0
    assert "other values than the hosts for airflow_jwt_secret" in output
    assert "zq-7" not in output
    assert path.read_text(encoding="utf-8") == content


@contextmanager
def without_schema(node: Any) -> Iterator[None]:
    """Hide the schema from who looks for it; what runs does not need to."""
    sql(node, "ALTER TABLE alembic_version RENAME TO airstrip_hidden", "airflow")
    try:
        yield
    finally:
        sql(node, "ALTER TABLE airstrip_hidden RENAME TO alembic_version", "airflow")


def test_an_empty_database_is_not_taken_for_a_new_site(site: Site, node: Any) -> None:
    arguments = ("ansible-playbook", "site.yml", "--check", "--tags", "airflow_scheduler")
    with without_schema(node):
        refused = site.command(*arguments)
        meant = site.command(*arguments, "-e", "airflow_schema_new_database_allowed=true")
    output = " ".join(refused.stdout.split())
    assert refused.returncode != 0
    assert "site_database_name: the database airflow on" in output
    assert "ran Airflow on one already" in output
    assert set(changes(refused.stdout)) == {0}
    assert "ran Airflow on one already" not in " ".join(meant.stdout.split())
