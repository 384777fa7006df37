"""What is said of an installation that is taken over, what is proposed for its site, and which secrets are kept."""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from adoption import airflow_adopt_findings, airflow_adopt_proposal, airflow_adopt_secrets
from airstrip_module import load
from airstrip_registry import declared
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.site_renamed import RENAMED

FERNET_KEY = "zCHu2g7Q3xvM0w1zq5o0n7c9m7Wc0b9m6f3n2k1j0hI="
PASSWORD = "Kd84-a-password-of-old"  # noqa: S105
SECRET_KEY = "b7-a-key-of-old-that-is-long-enough-for-anybody"  # noqa: S105

OLD: dict[str, Any] = {
    "version": "2.11.2",
    "python": "3.11.2",
    "user": "airflow",
    "uid": 999,
    "gid": 997,
    "group": "airflow",
    "options": {
        "core.executor": "CeleryExecutor",
        "core.dags_folder": "/srv/old/dags",
        "core.plugins_folder": "/srv/old/plugins",
        "core.fernet_key": FERNET_KEY,
        "core.auth_manager": "",
        "logging.base_log_folder": "/srv/old/logs",
        "logging.remote_logging": "False",
        "database.sql_alchemy_conn": f"postgresql://old:{PASSWORD}@localhost/old",
        "database.sql_alchemy_schema": "",
        "celery.broker_url": "redis://localhost/0",
        "api.secret_key": "",
        "api_auth.jwt_secret": "",
        "webserver.secret_key": SECRET_KEY,
        "webserver.config_file": "/srv/old/webserver_config.py",
        "fab.config_file": "",
        "secrets.backend": "",
        "scheduler.catchup_by_default": "True",
        "scheduler.create_cron_data_intervals": "True",
        "scheduler.create_delta_data_intervals": "True",
    },
    "changed": [],
    "secret_options": ["core.fernet_key", "database.sql_alchemy_conn", "webserver.secret_key", "celery.broker_url"],
    "packages": ["apache-airflow", "apache-airflow-providers-celery", "apache-airflow-providers-ftp", "pip"],
    "authentication": "",
    "pg_dump": "/usr/bin/pg_dump",
    "database": {
        "dialect": "postgresql",
        "user": "old",
        "password": PASSWORD,
        "host": "localhost",
        "port": 5432,
        "name": "old",
        "options": {},
        "server_version": 150018,
        "encoding": "UTF8",
        "superuser": False,
        "foreign_tables": [],
        "other_databases": [],
        "size_mb": 12,
        "tables": [["task_instance", 3], ["xcom", 2], ["job", 0]],
        "clients": [],
        "revision": "5f2621c13b39",
        "fab_revision": None,
        "users": ["anna"],
        "busy": 0,
        "deferred": 0,
        "subdags": [],
        "pickled_xcoms": False,
        "leftovers": [],
        "undecryptable": [],
        "values": {"numbers": 0, "nul": 0, "runs": [], "dags": 0},
    },
}
SITE: dict[str, Any] = {
    "version": "3.3.2",
    "user": "airflow",
    "group": "airflow",
    "home": "/var/lib/airflow",
    "admin": "admin",
    "extras": ["celery", "fab", "postgres"],
    "dags_folder": "/srv/airflow/dags",
    "install_owner": "root",
    "options": json.loads(
        (PROJECT / "roles/airflow_release/files/locks/3.3.2/options.json").read_text(encoding="utf-8")
    ),
    "providers": {
        "celery": "apache-airflow-providers-celery",
        "fab": "apache-airflow-providers-fab",
        "amazon": "apache-airflow-providers-amazon",
    },
    "has_postgresql": True,
    "database_addresses": ["vm1", "192.0.2.10", "localhost"],
    "known_databases": ["airflow", "airflow_results"],
    "units": ["airflow-scheduler.service"],
    "program": "/srv/old/venv/bin/airflow",
    "secret_units": [],
    "conflicts": [],
    "dags": [],
    "lint": "",
}


def changed(facts: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of facts in which values are replaced, by their paths with slashes."""
    copied: dict[str, Any] = copy.deepcopy(dict(facts))
    for path, value in changes.items():
        *parents, last = path.split("/")
        place = copied
        for parent in parents:
            place = place[parent]
        place[last] = value
    return copied


def found(old: Mapping[str, Any] | None = None, site: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Return the findings for an installation that differs from a good one, but for what is always said."""
    findings = airflow_adopt_findings(changed(OLD, old or {}), changed(SITE, site or {}))
    return {finding["code"]: finding for finding in findings if finding["code"] not in ("size", "timing")}


def test_nothing_is_in_the_way_of_a_good_one() -> None:
    assert found() == {}
    size, timing = airflow_adopt_findings(OLD, SITE)
    assert not size["blocking"]
    assert "The proposal keeps the old ones" in timing["text"]
    assert "has 12 MB, task_instance 3 MB, xcom 2 MB. The" in size["text"]


# As rich wraps it; the first is about an option that is not set.
LINT = """Found issues in your airflow.cfg:
  - Removed deprecated `check_slas` configuration parameter from `core` section.
  - Removed `parallelism` from `core`. Do
this instead.

Please update your configuration file accordingly.
"""
DAG = {"filename": "/srv/old/dags/a.py", "location": {"row": 7}, "message": "`schedule_interval` is removed"}


@pytest.mark.parametrize(
    ("code", "old", "site", "text"),
    [
        ("too_old", {"version": "2.10.5"}, {}, "Upgrade it to 2.11 first"),
        ("too_new", {"version": "3.4.0"}, {}, "newer than site_airflow_version 3.3.2"),
        ("too_new", {"version": "3.3.3"}, {}, "newer than site_airflow_version 3.3.2"),
        ("schema", {"database/revision": "22ed7efa9da2"}, {}, "has 5f2621c13b39: a migration is due"),
        ("schema", {"version": "3.1.7", "database/revision": "509b94a1042d"}, {}, "3.1.7 has cc92b33c6709"),
        ("schema", {"database/revision": None}, {}, "the revision None"),
        ("database_elsewhere", {"database/host": "db.example.com"}, {}, "db.example.com, which is no host"),
        ("database_elsewhere", {}, {"database_addresses": ["vm1", "192.0.2.10"]}, "localhost, which is no host"),
        ("database_password", {"database/password": "short"}, {"has_postgresql": False}, "fewer than 16 characters"),
        ("encoding", {"database/encoding": "SQL_ASCII"}, {}, "is SQL_ASCII"),
        ("superuser", {"database/superuser": True}, {}, "old is a superuser"),
        ("owner", {"database/foreign_tables": ["job", "log"]}, {}, "job, log"),
        ("other_databases", {"database/other_databases": ["shop", "airflow_results"]}, {}, "databases: shop."),
        ("fernet_key", {"database/undecryptable": ["connection db"]}, {}, "does not open: connection db"),
        ("subdags", {"database/subdags": ["a.b"]}, {}, "a.b"),
        (
            "xcoms",
            {"database/values/numbers": 2},
            {"version": "3.1.7"},
            "3.1.7 stops. Set site_airflow_version to 3.1.8",
        ),
        (
            "xcoms",
            {"database/values/nul": 2},
            {"version": "3.2.2"},
            "the character NUL in them, at which the migration",
        ),
        ("runs", {"database/values/runs": ["a b"]}, {"version": "3.3.1"}, "3.3.1 stops: a b. Set"),
        (
            "serialized_dags",
            {"version": "3.1.8", "database/revision": "509b94a1042d", "database/values/dags": 1},
            {},
            "shows whose they are:\n    SELECT DISTINCT dag_id",
        ),
        ("deferred", {"database/deferred": 3}, {}, "3 task instances are deferred"),
        ("executor", {"options/core.executor": "KubernetesExecutor"}, {}, "not KubernetesExecutor"),
        ("executor", {"options/core.executor": "LocalExecutor,a.b.OwnExecutor"}, {}, "not OwnExecutor"),
        ("sql_alchemy_schema", {"options/database.sql_alchemy_schema": "airflow"}, {}, "search_path"),
        ("authentication", {"authentication": "AUTH_LDAP"}, {}, "airflow_webserver_config"),
        ("dags_folder", {"options/core.dags_folder": "/home/me/dags"}, {}, "Copy it to /srv/airflow/dags"),
        ("dags", {}, {"dags": [{"code": "AIR301", **DAG}]}, "/srv/old/dags/a.py:7 `schedule_interval` is removed"),
        ("units", {}, {"units": []}, "runs /srv/old/venv/bin/airflow. Name"),
        ("odd_names", {"database/name": "../../etc/x y"}, {}, "site_database_name would be '../../etc/x y'"),
        ("odd_names", {"options/core.dags_folder": "/a\nExecStart=+/b"}, {}, "would be '/a\\nExecStart=+/b'"),
        ("odd_names", {"group": "{{ lookup('pipe', 'id') }}"}, {}, "site_group would be"),
        (
            "odd_packages",
            {"packages": ["apache-airflow-providers-x@file:///x\n-e"]},
            {},
            "'apache-airflow-providers-x@",
        ),
        ("unit_environment", {}, {"secret_units": ["/etc/systemd/system/a.service"]}, "a.service"),
        ("pg_dump", {"pg_dump": ""}, {}, "Install postgresql-client"),
        ("secrets", {}, {"conflicts": ["airflow_fernet_key"]}, "already for airflow_fernet_key"),
    ],
)
def test_finding_blocks(code: str, old: dict[str, Any], site: dict[str, Any], text: str) -> None:
    findings = found(old, site)
    assert list(findings) == [code]
    assert findings[code]["blocking"] is True
    assert text in findings[code]["text"]


@pytest.mark.parametrize(
    ("code", "old", "site", "text"),
    [
        ("plain", {"options/core.fernet_key": ""}, {}, "in the clear"),
        ("pickled_xcoms", {"database/pickled_xcoms": True}, {}, "_xcom_archive"),
        (
            "xcoms",
            {"database/values/numbers": 2},
            {"version": "3.2.2"},
            "of which the migration to 3.2.2 makes null or a",
        ),
        ("xcoms", {"database/values/nul": 2}, {}, "of which the migration to 3.3.2 makes nothing."),
        ("leftovers", {"database/leftovers": ["_airflow_moved__2_3__dag"]}, {}, "_airflow_moved__2_3__dag"),
        ("busy", {"database/busy": 4}, {}, "4 task instances are queued or running"),
        ("secrets_backend", {"options/secrets.backend": "a.b.Vault"}, {}, "a.b.Vault"),
        ("packages", {"packages": ["pandas", "pip", "apache-airflow"]}, {}, "pandas. Put"),
        ("dags_later", {}, {"dags": [{"code": "AIR311", **DAG}] * 2}, "2 times. First: /srv/old/dags/a.py:7"),
        ("dags_unchecked", {}, {"dags": None}, "ruff check --select AIR301,AIR302,AIR311,AIR312"),
        (
            "lint",
            {"changed": [{"section": "core", "option": "parallelism", "value": "1"}]},
            {"lint": LINT},
            "says:\n    Removed `parallelism` from `core`. Do this instead.",
        ),
        (
            "secret_options",
            {"secret_options": ["elasticsearch.host", "core.fernet_key", "smtp.smtp_password", "sentry.sentry_dsn"]},
            {},
            "not taken over: elasticsearch.host, smtp.smtp_password, sentry.sentry_dsn. Give",
        ),
        (
            "options",
            {"changed": [{"section": "core", "option": "check_slas", "value": "False"}]},
            {},
            "are left: core.check_slas",
        ),
    ],
)
def test_finding_advises(code: str, old: dict[str, Any], site: dict[str, Any], text: str) -> None:
    findings = found(old, site)
    assert list(findings) == [code]
    assert findings[code]["blocking"] is False
    assert text in findings[code]["text"]
    assert "Please update" not in findings[code]["text"]


def test_of_another_database_only_its_kind_is_known() -> None:
    database = {"dialect": "sqlite", "user": "", "password": "", "host": "", "port": 5432, "name": "", "options": {}}
    findings = found({"database": database})
    assert "Move it to PostgreSQL first" in findings["database_kind"]["text"]


def test_an_external_database_may_be_anywhere() -> None:
    assert found({"database/host": "db.example.com"}, {"has_postgresql": False}) == {}


def test_an_address_of_the_loopback_is_this_host() -> None:
    for host in ("127.0.0.1", "::1", "", "/var/run/postgresql", "192.0.2.10", "vm1"):
        assert found({"database/host": host}) == {}


@pytest.mark.parametrize(
    ("version", "revision"),
    [("2.11.0", "5f2621c13b39"), ("3.0.2", "29ce7909c52b"), ("3.1.8", "509b94a1042d"), ("3.3.1", "d2f4e1b3c5a7")],
)
def test_versions_with_the_right_schema_pass(version: str, revision: str) -> None:
    assert found({"version": version, "database/revision": revision}) == {}


def test_values_that_the_migration_does_not_meet_are_none_of_its_matter() -> None:
    odd = {"database/values/runs": ["a b"], "database/values/dags": 3}
    assert found(odd) == {}
    assert found({"version": "3.2.2", "database/revision": "1d6611b6ab7c", "database/values/dags": 3}) == {}


@pytest.mark.parametrize(("kind", "pattern"), [("numbers", "NUMBERS"), ("nul", "NUL")])
def test_what_shows_values_finds_those_that_were_counted(kind: str, pattern: str) -> None:
    look = load(PROJECT / "roles" / "airflow_adopt" / "files" / "look.py")
    text = found({f"database/values/{kind}": 1}, {"version": "3.1.7"})["xcoms"]["text"]
    assert text.endswith(f" AND encode(value, 'escape') ~ '{getattr(look, pattern)}';")


def test_what_blocks_stands_first() -> None:
    findings = airflow_adopt_findings(changed(OLD, {"database/busy": 1, "database/subdags": ["a"]}), SITE)
    assert [finding["blocking"] for finding in findings] == [True, False, False, False]


def test_no_finding_and_no_proposal_contains_a_secret() -> None:
    broken = {
        "version": "3.4.0", "authentication": "AUTH_LDAP", "database/undecryptable": ["variable a"],
        "database/superuser": True, "database/host": "db.example.com", "database/encoding": "LATIN1", "pg_dump": "",
    }  # fmt: skip
    old = changed(OLD, broken)
    site = changed(SITE, {"conflicts": ["airflow_fernet_key"], "units": [], "install_owner": "airflow"})
    text = json.dumps([airflow_adopt_findings(old, site), airflow_adopt_proposal(old, site)])
    assert text.count('"blocking": true') > 6
    for secret in (FERNET_KEY, PASSWORD, SECRET_KEY):
        assert secret not in text


TIMING = {"catchup_by_default": "True", "create_cron_data_intervals": "True", "create_delta_data_intervals": "True"}


def test_proposal() -> None:
    assert airflow_adopt_proposal(OLD, SITE) == {
        "variables": {
            "site_database_name": "old",
            "site_database_user": "old",
            "site_postgresql_version": "15",
            "postgresql_takeover_allowed": True,
            "redis_takeover_allowed": True,
            "site_executor": "CeleryExecutor",
            "airflow_dags_folder": "/srv/old/dags",
            "airflow_plugins_folder": "/srv/old/plugins",
            "airflow_log_directory": "/srv/old/logs",
            "site_uid": 999,
            "site_gid": 997,
            "airflow_config_overrides": {"scheduler": TIMING},
        },
        "dropped": [],
    }


@pytest.mark.parametrize(
    ("old", "site", "variables"),
    [
        pytest.param({"database/port": 5433}, {}, {"site_database_port": 5433}, id="another port"),
        pytest.param(
            {"database/host": "db.example.com", "database/options": {"sslmode": "require"}},
            {"has_postgresql": False},
            {
                "site_database_host": "db.example.com",
                "site_database_port": 5432,
                "airflow_database_options": {"sslmode": "require"},
                "site_postgresql_version": None,
                "postgresql_takeover_allowed": None,
            },
            id="an external database",
        ),
        pytest.param(
            {"database/users": ["admin"]}, {}, {"site_admin_username": "airstrip"}, id="an administrator of the name"
        ),
        pytest.param({}, {"install_owner": "airflow"}, {"site_install_directory": "/opt/airstrip"}, id="not root's"),
        pytest.param(
            {"user": "ubuntu"},
            {},
            {"airflow_log_directory": None, "site_uid": None, "site_gid": None},
            id="another user's logs",
        ),
        pytest.param({"group": "staff"}, {}, {"site_group": "staff"}, id="another group"),
        pytest.param({"options/core.dags_folder": "/home/a/dags"}, {}, {"airflow_dags_folder": None}, id="a home"),
        pytest.param(
            {"packages": ["apache-airflow-providers-amazon", "apache-airflow-providers-odd"]},
            {},
            {
                "airflow_release_extras": ["amazon", "celery", "fab", "postgres"],
                "airflow_release_extra_packages": ["apache-airflow-providers-odd"],
            },
            id="more providers",
        ),
        pytest.param(
            {
                "changed": [
                    {"section": "core", "option": "parallelism", "value": "64"},
                    {"section": "webserver", "option": "instance_name", "value": "Ours"},
                    {"section": "scheduler", "option": "dag_dir_list_interval", "value": "17"},
                    {"section": "core", "option": "dags_folder", "value": "/srv/old/dags"},
                    {"section": "webserver", "option": "base_url", "value": "http://old"},
                    {"section": "database", "option": "sql_alchemy_pool_size", "value": "9"},
                ]
            },
            {},
            {
                "airflow_config_overrides": {
                    "core": {"parallelism": "64"},
                    "api": {"instance_name": "Ours"},
                    "dag_processor": {"refresh_interval": "17"},
                    "scheduler": TIMING,
                }
            },
            id="options",
        ),
    ],
)
def test_proposal_differs(old: dict[str, Any], site: dict[str, Any], variables: dict[str, Any]) -> None:
    usual = airflow_adopt_proposal(OLD, SITE)["variables"]
    expected = {name: value for name, value in (usual | variables).items() if value is not None}
    assert airflow_adopt_proposal(changed(OLD, old), changed(SITE, site))["variables"] == expected


@pytest.mark.parametrize(
    ("old", "variable"),
    [
        ({"database/name": "a b"}, "site_database_name"),
        ({"database/user": "a; id"}, "site_database_user"),
        ({"options/core.dags_folder": "/a\nExecStart=+/b"}, "airflow_dags_folder"),
        ({"options/core.executor": "CeleryExecutor\nx"}, "site_executor"),
        (
            {"packages": ["apache-airflow-providers-x@file:///x", "apache-airflow-providers-x\n-e"]},
            "airflow_release_extra_packages",
        ),
    ],
)
def test_what_would_break_out_of_a_file_is_not_proposed(old: dict[str, Any], variable: str) -> None:
    assert variable not in airflow_adopt_proposal(changed(OLD, old), SITE)["variables"]


def test_defaults_of_airflow_3_stay() -> None:
    old = changed(OLD, {"version": "3.2.2", "database/revision": "1d6611b6ab7c"})
    assert "airflow_config_overrides" not in airflow_adopt_proposal(old, SITE)["variables"]
    assert [finding["code"] for finding in airflow_adopt_findings(old, SITE)] == ["size"]


def test_secrets() -> None:
    assert airflow_adopt_secrets(OLD) == {
        "airflow_fernet_key": FERNET_KEY,
        "airflow_database_password": PASSWORD,
        "airflow_api_secret_key": SECRET_KEY,
    }


def test_secrets_of_airflow_3() -> None:
    options = {"options/api.secret_key": "n" + SECRET_KEY, "options/api_auth.jwt_secret": "j" + SECRET_KEY}
    secrets = airflow_adopt_secrets(changed(OLD, options))
    assert secrets["airflow_api_secret_key"] == "n" + SECRET_KEY
    assert secrets["airflow_jwt_secret"] == "j" + SECRET_KEY


def test_short_secrets_are_not_kept() -> None:
    weak = {"database/password": "airflow", "options/webserver.secret_key": "temporary", "options/core.fernet_key": ""}
    assert airflow_adopt_secrets(changed(OLD, weak)) == {}


@pytest.mark.parametrize("value", [None, "2.11", ["2.11"]])
def test_wrong_types_are_refused(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match="the old installation must be a mapping"):
        airflow_adopt_findings(value, SITE)
    with pytest.raises(AnsibleFilterError, match="the site must be a mapping"):
        airflow_adopt_proposal(OLD, value)
    with pytest.raises(AnsibleFilterError, match="the old installation must be a mapping"):
        airflow_adopt_secrets(value)


@pytest.mark.parametrize("version", ["main", "2.11.2\nairflow_user: root"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(AnsibleFilterError, match="is no version of Airflow"):
        airflow_adopt_findings(changed(OLD, {"version": version}), SITE)


def test_no_variable_that_a_run_refuses_is_proposed() -> None:
    refused = {name for variable in declared().values() for name in (*variable.inputs, *variable.instead_of)} | {
        *RENAMED
    }
    source = (PROJECT / "filter_plugins" / "adoption.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"((?:airflow|postgresql|redis|base|site)_\w+)"', source))
    assert "site_install_directory" in named
    assert named & refused == set()
