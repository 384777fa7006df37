"""Filters of where a site's own secrets come from: what is refused, and which ones are asked for."""

from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT
from ansible_collections.airstrip.core.plugins.plugin_utils.secrets_source import place

source = load(PROJECT / "filter_plugins" / "secrets_source.py")
FILES: dict[str, Any] = {"type": "files", "path": "/run/secrets/{name}"}
SM: dict[str, Any] = {"type": "aws_secrets_manager", "region_name": "eu-central-1", "path": "airstrip/{name}"}
BAO: dict[str, Any] = {"type": "openbao", "url": "https://bao.example.com:8200", "path": "airstrip/{name}"}


@pytest.mark.parametrize(
    ("declared", "name", "found"),
    [
        (FILES, "airflow_jwt_secret", ("/run/secrets/airflow_jwt_secret", "")),
        (BAO, "airflow_jwt_secret", ("airstrip/airflow_jwt_secret", "value")),
        (BAO | {"field": "secret"}, "a", ("airstrip/a", "secret")),
        (BAO | {"path": "airstrip#{name}"}, "a", ("airstrip", "a")),
        (SM | {"paths": {"a": "all#{name}"}}, "a", ("all", "a")),
        (SM | {"paths": {"a": "all#{name}"}}, "b", ("airstrip/b", "")),
        (SM | {"generated": ["redis_*"]}, "redis_admin_password", None),
        (SM, "certificate_key_haproxy_vm1", None),
        ({"type": "files", "paths": {"a": "/a"}}, "b", None),
        ({"type": "vualt", "path": "{name}"}, "a", None),
        ({}, "a", None),
    ],
)
def test_a_secret_has_one_place(declared: dict[str, Any], name: str, found: tuple[str, str] | None) -> None:
    assert place(declared, name) == found


def test_no_source_refuses_nothing() -> None:
    assert source.secrets_source_problems({}, ["airflow_jwt_secret"]) == []
    assert source.secrets_source_problems(FILES) == []


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"type": "file", "path": "{name}"}, "site_secrets_source.type is 'file'. Set it to one of vault, openbao, "
         "aws_secrets_manager, aws_ssm, files. Did you mean files?"),
        ({"type": "files"}, "site_secrets_source names no place. Set path to a pattern for all secrets"),
        (FILES | {"path": "/run/secrets"}, "site_secrets_source.path is '/run/secrets', the same for all secrets"),
        (FILES | {"paths": ["a"]}, "paths must be a mapping of names to paths"),
        (FILES | {"generated": "a"}, "generated a list of names"),
        (FILES | {"secret_id": "not-shown-4711"}, "secret_id is a secret, and that variable is shown. Take it out; it "
         "belongs into a file of yours on the controller, which secret_file names, or the environment."),
        (FILES | {"url": "x"}, "site_secrets_source.url is unknown to the type files."),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_remedy(declared: dict[str, Any], message: str) -> None:
    found = source.secrets_source_problems(declared)
    assert any(message in problem for problem in found)
    assert not any("4711" in problem for problem in found)


def test_what_the_controller_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert source.secrets_source_problems(SM) == [
        "site_secrets_source: the type aws_secrets_manager needs the Python package boto3 on the controller. Install "
        "it into Ansible's environment: .venv/bin/uv pip install --constraints requirements/test.txt boto3."
    ]


def test_what_is_missing_is_named_with_its_place() -> None:
    found = source.secrets_source_problems(FILES | {"generated": ["b"]}, ["a", "b", "c", "a"])
    assert found == [
        "site_secrets_source: files at the controller does not have a at /run/secrets/a, c at /run/secrets/c. Put "
        "there what it lacks, say by paths where else it is, or by generated that it is made (docs/content.md, Secret "
        "backends)."
    ]


def test_a_site_asks_for_what_its_components_need() -> None:
    site = {"secrets": ["grafana_secret_key"], "people": {"ada": "site_viewer_ada"}, "placed": {"prometheus": ["m"]}}
    found = source.secrets_source_names(site, {"airflow_jwt_secret": {}}, ["airflow_metrics"], ["bob"])
    assert found == [
        "airflow_jwt_secret", "airflow_admin_password", "grafana_secret_key", "site_viewer_ada", "monitoring_key",
        "postgresql_role_airflow_metrics", "airflow_user_bob",
    ]  # fmt: skip
    assert "monitoring_key" not in source.secrets_source_names(site | {"placed": {}}, {}, [], [])
