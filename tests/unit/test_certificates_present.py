"""What the lookup certificates_present finds of the certificates that are to be issued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airstrip_certificates import issue
from airstrip_render import Role

DB = {"name": "postgresql-db1", "names": ["db1"], "secret": "certificate_key_postgresql_db1"}
BROKER = {"name": "redis-db1", "names": ["db1"], "secret": "certificate_key_redis_db1"}


def role(path: Path, **variables: Any) -> Role:
    variables |= {"certificates_directory": str(path / "certificates"), "certificates_issued": [DB, BROKER]}
    return Role("certificates", variables | {"airflow_secrets_file": str(path / "secrets.yml")})


def test_each_has_its_file_its_key_and_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "certificates").mkdir()
    (tmp_path / "certificates/redis-db1.crt").write_text("a certificate\n", encoding="utf-8")
    database, broker = role(tmp_path).evaluate("query('certificates_present', *certificates_issued)")
    assert (database["path"], database["certificate"]) == (str(tmp_path / "certificates/postgresql-db1.crt"), "")
    assert broker["certificate"] == "a certificate"
    assert (database["names"], broker["name"]) == (["db1"], "redis-db1")
    assert "BEGIN PRIVATE KEY" in database["key"]
    assert database["key"] != broker["key"]
    # A key that was made is kept: certificates are issued for it.
    again, _ = role(tmp_path).evaluate("query('certificates_present', *certificates_issued)")
    assert again["key"] == database["key"]


def test_none_is_due_that_fits(tmp_path: Path) -> None:
    authority = issue("authority")
    variables = {"__certificates_authority": {"certificate": authority.pem}}
    assert [leaf["name"] for leaf in role(tmp_path, **variables).evaluate("__certificates_due")] == [
        "postgresql-db1", "redis-db1"
    ]  # fmt: skip
    issued = issue("db1", authority, ("db1",))
    (tmp_path / "certificates").mkdir()
    (tmp_path / "certificates/redis-db1.crt").write_text(issued.pem, encoding="utf-8")
    (tmp_path / "secrets.yml").write_text(json.dumps({BROKER["secret"]: issued.key}), encoding="utf-8")
    assert [leaf["name"] for leaf in role(tmp_path, **variables).evaluate("__certificates_due")] == ["postgresql-db1"]
