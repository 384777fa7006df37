"""Filters of Airflow's secrets backends: what components get of them, and what is refused."""

import json
from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError

backend = load(PROJECT / "filter_plugins" / "secrets_backend.py")
CA = "/etc/ssl/certs/ca-certificates.crt"
SECRET = "not-in-any-message-4711"  # noqa: S105
BAO: dict[str, Any] = {
    "type": "openbao", "url": "https://bao.example.com:8200", "auth_type": "approle", "role_id": "airflow",
    "mount_point": "kv", "required_connections": ["warehouse"],
}  # fmt: skip
SSM: dict[str, Any] = {"type": "aws_ssm", "region_name": "eu-central-1"}
SITE: dict[str, Any] = {
    "set": ["airflow_secrets_backend_secret", "airflow_worker_secrets_backend_secret"],
    "extras": ["celery", "amazon"], "packages": ["Apache_Airflow.Providers-Hashicorp>=4"], "files": False,
    "overrides": {}, "environment": {},
}  # fmt: skip


def refused(declared: dict[str, Any], variable: str = "site_secrets_backend", **site: Any) -> list[str]:
    found: list[str] = backend.airflow_secrets_backend_problems({variable: declared}, SITE | site)
    assert not any(SECRET in problem for problem in found)
    return found


def arguments(declared: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        backend.airflow_secrets_backend(declared, "secrets_backend", SECRET, CA)["arguments"]
    )
    return found


def test_no_backend_is_nothing() -> None:
    assert backend.airflow_secrets_backend({}, "secrets_backend", "", CA) == {
        "credentials": [], "environment": {}, "arguments": "",
    }  # fmt: skip
    assert refused({}) == []


def test_a_login_is_among_the_arguments_and_not_in_the_environment() -> None:
    found = backend.airflow_secrets_backend(BAO, "secrets_backend", SECRET, CA)
    assert found["credentials"] == ["secrets_backend"]
    assert found["environment"] == {
        "AIRFLOW__SECRETS__BACKEND": "airflow.providers.hashicorp.secrets.vault.VaultBackend"
    }
    assert json.loads(found["arguments"]) == {
        "auth_type": "approle", "mount_point": "kv", "role_id": "airflow", "secret_id": SECRET,
        "url": "https://bao.example.com:8200", "verify": CA,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ({"type": "vault", "url": "u"}, {"auth_type": "token", "token": SECRET, "url": "u"}),
        (
            {"type": "vault", "url": "u", "auth_type": "ldap", "username": "a"},
            {"auth_type": "ldap", "password": SECRET, "url": "u", "username": "a"},
        ),
        (SSM, {"region_name": "eu-central-1"}),
        (
            SSM | {"access_key_id": "K", "ca_file": "/own.crt", "connections_prefix": None},
            {
                "aws_access_key_id": "K", "aws_secret_access_key": SECRET, "connections_prefix": None,
                "region_name": "eu-central-1", "verify": "/own.crt",
            },
        ),
        (SSM | {"options": {"config_prefix": None}}, {"config_prefix": None, "region_name": "eu-central-1"}),
    ],
)  # fmt: skip
def test_arguments_are_those_of_the_class(declared: dict[str, Any], found: dict[str, Any]) -> None:
    assert arguments(declared) == {"verify": CA} | found


def test_local_files_are_credentials_of_the_unit() -> None:
    found = backend.airflow_secrets_backend({"type": "local_files"}, "secrets_backend", "", CA)
    assert found["credentials"] == ["secrets_connections.json", "secrets_variables.json"]
    kwargs = json.loads(found["environment"]["AIRFLOW__SECRETS__BACKEND_KWARGS"])
    assert kwargs["connections_file_path"] == "$CREDENTIALS_DIRECTORY/secrets_connections.json"


def test_tasks_have_a_section_of_their_own() -> None:
    found = backend.airflow_secrets_backend(SSM, "worker_secrets_backend", "", CA)
    assert found["credentials"] == ["worker_secrets_backend"]
    assert [*found["environment"]] == ["AIRFLOW__WORKERS__SECRETS_BACKEND"]


def test_a_type_that_there_is_not_renders_nothing() -> None:
    with pytest.raises(AnsibleFilterError, match=r"airflow_secrets_backend\.type must be one of vault, openbao"):
        backend.airflow_secrets_backend({"type": "vualt"}, "secrets_backend", "", CA)


def test_what_works_is_not_refused() -> None:
    assert refused(BAO) == []
    assert refused(SSM) == []
    assert refused(SSM, "site_worker_secrets_backend", extras=[], packages=["apache-airflow-providers-amazon==9"]) == []
    assert refused({"type": "local_files"}, files=True) == []
    assert refused(BAO | {"url": "http://127.0.0.1:8200"}) == []
    assert refused(BAO | {"url": "http://bao.example.com", "plain_allowed": True}) == []


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"type": "vualt"}, "type is 'vualt'. Set it to one of vault, openbao, aws_ssm, "
         "aws_secrets_manager, local_files. "
         "Did you mean vault?"),
        ({"url": "u"}, "site_secrets_backend.type is not set."),
        (BAO | {"mountpoint": "kv"}, "mountpoint is unknown to the type openbao. Did you mean mount_point?"),
        ({"type": "vault"}, "site_secrets_backend.url is not set, and the type vault needs it."),
        ({"type": "aws_ssm"}, "site_secrets_backend.region_name is not set"),
        (BAO | {"url": "bao.example.com"}, "site_secrets_backend.url is no URL"),
        (BAO | {"url": "https://bao.example.com:port"}, "site_secrets_backend.url is no URL"),
        (BAO | {"url": "http://bao.example.com"}, "in the clear. Use https, or set plain_allowed to true"),
        (BAO | {"url": f"https://a:{SECRET}@bao.example.com"}, "url has a user or a password in it"),
        (SSM | {"endpoint_url": "http://aws.example.com"}, "endpoint_url is http://aws.example.com: login and secrets"),
        (BAO | {"secret_id": SECRET}, "secret_id is a secret, and that variable is shown. Take it out; it belongs into "
         "airflow_secrets_backend_secret."),
        (BAO | {"options": {"token": SECRET}}, "options.token is a secret"),
        (BAO | {"auth_type": "kubernetes"}, "auth_type is 'kubernetes'. Set it to one of approle, ldap, token"),
        (BAO | {"role_id": ""}, "role_id is not set, and a login by approle needs it"),
        (BAO | {"kv_engine_version": 3}, "kv_engine_version is 3. Set it to 1 or 2"),
        ({"type": "local_files"}, "there are none. Set airflow_secrets_backend_connections"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_remedy(declared: dict[str, Any], message: str) -> None:
    (found,) = refused(declared)
    assert message in found


def test_a_login_without_its_secret_is_refused() -> None:
    assert refused(BAO, set=[]) == [
        "airflow_secrets_backend_secret is not set, and site_secrets_backend needs it: the secret of the login. Keep "
        "it in a vault."
    ]
    assert refused(SSM, set=[]) == []
    assert len(refused(SSM | {"access_key_id": "K"}, set=[])) == 1


@pytest.mark.parametrize(
    ("declared", "site", "package"),
    [(BAO, {"packages": ["apache-airflow-providers-hashicorp-more"]}, "hashicorp"), (SSM, {"extras": []}, "amazon")],
)
def test_a_provider_that_the_release_lacks_is_named(
    declared: dict[str, Any], site: dict[str, Any], package: str
) -> None:
    (found,) = refused(declared, **site)
    assert found == (
        f"site_secrets_backend.type is {declared['type']}, and the release does not have its provider. Add "
        f"apache-airflow-providers-{package} to airflow_release_extra_packages."
    )


@pytest.mark.parametrize(
    ("variable", "site", "name"),
    [
        (
            "site_secrets_backend",
            {"overrides": {"secrets": {"backend": "x"}}},
            "airflow_config_overrides.secrets.backend",
        ),
        (
            "site_worker_secrets_backend",
            {"environment": {"AIRFLOW__WORKERS__SECRETS_BACKEND": "x"}},
            "airflow_environment.AIRFLOW__WORKERS__SECRETS_BACKEND",
        ),
    ],
)
def test_a_backend_is_declared_once(variable: str, site: dict[str, Any], name: str) -> None:
    assert refused(SSM, variable, **site) == [
        f"{name} and {variable} both say what the backend is. Take one of them out."
    ]
    assert refused(SSM, overrides={"secrets": {"use_cache": True}}) == []


def test_tasks_have_no_local_files() -> None:
    found = refused({"type": "local_files"}, "site_worker_secrets_backend", files=True)
    assert "Set it to one of vault, openbao, aws_ssm, aws_secrets_manager." in found[0]
