"""Filters of the place of the task logs: what Airflow is told of it, and what of it is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

logs = load(PROJECT / "filter_plugins" / "remote_logs.py")
checks = load(PROJECT / "filter_plugins" / "remote_logs_checks.py")

S3 = {"url": "s3://logs/site", "endpoint_url": "https://s3.example.com:9000", "access_key_id": "AK"}
GROUP = "arn:aws:logs:eu-west-1:123456789012:log-group:/airflow/tasks"
WATCH = {"url": f"cloudwatch://{GROUP}", "access_key_id": "AK"}
GOOGLE = {"url": "gs://logs/site"}
AZURE = {
    "url": "wasb://logs/site", "endpoint_url": "https://x.blob.core.windows.net", "tenant_id": "t", "client_id": "c",
}  # fmt: skip
KEYS = {"key": True, "admin_key": False}
RELEASE: dict[str, Any] = {"extras": ["amazon"], "packages": [], "environment": {}}
FACTS: dict[str, Any] = {"keys": KEYS, "release": RELEASE}
CONNECTION = "AIRFLOW_CONN_AIRSTRIP_REMOTE_LOGS"


def test_without_a_place_nothing_is_said() -> None:
    assert logs.remote_logs_config({}) == {}
    assert logs.remote_logs_environment({}, "/ca") == {}
    assert logs.remote_logs_files({}) == []
    assert logs.remote_logs_lasting({}) == {}
    assert logs.remote_logs_source({}) == ""
    assert checks.remote_logs_problems({}, FACTS) == []


@pytest.mark.parametrize(
    ("store", "folder", "connection"),
    [
        (S3, "s3://logs/site", "airstrip_remote_logs"),
        (S3 | {"url": "s3://logs/"}, "s3://logs", "airstrip_remote_logs"),
        (S3 | {"connection": "mine"}, "s3://logs/site", "mine"),
        (WATCH, f"cloudwatch://{GROUP}", "airstrip_remote_logs"),
        (AZURE, "wasb://site", "airstrip_remote_logs"),
        (GOOGLE, "gs://logs/site", None),
        (GOOGLE | {"connection": "mine"}, "gs://logs/site", "mine"),
    ],
)
def test_options_name_the_place(store: dict[str, Any], folder: str, connection: str | None) -> None:
    found = logs.remote_logs_config(store)
    assert found["logging"] == {
        "remote_logging": True,
        "remote_base_log_folder": folder,
        "delete_local_logs": False,
        **({"remote_log_conn_id": connection} if connection else {}),
    }
    assert ("azure_remote_logging" in found) == (store["url"].startswith("wasb"))


def test_local_logs_are_removed_if_that_is_wanted() -> None:
    assert logs.remote_logs_config(S3 | {"delete_local": True})["logging"]["delete_local_logs"] is True


def test_the_container_of_azure_is_an_option_of_its_own() -> None:
    assert logs.remote_logs_config(AZURE)["azure_remote_logging"] == {"remote_wasb_log_container": "logs"}


def test_the_connection_has_no_secret_and_names_the_section_that_has_it() -> None:
    (text,) = logs.remote_logs_environment(S3, "/ca.crt").values()
    assert json.loads(text) == {
        "conn_type": "aws",
        "extra": {
            "endpoint_url": "https://s3.example.com:9000",
            "profile_name": "airstrip_remote_logs",
            "region_name": "us-east-1",
            "verify": "/ca.crt",
        },
    }
    profile = logs.remote_logs_profile(S3, "secret")
    assert profile.splitlines() == [
        "[airstrip_remote_logs]", "aws_access_key_id = AK", "aws_secret_access_key = secret",
    ]  # fmt: skip


def test_machines_with_a_role_have_no_key() -> None:
    store = {"url": "s3://logs", "machine_role": True, "region": "eu-west-1"}
    assert json.loads(logs.remote_logs_environment(store, "/ca")[CONNECTION])["extra"] == {
        "region_name": "eu-west-1", "verify": "/ca",
    }  # fmt: skip
    assert logs.remote_logs_files(store) == []
    assert logs.remote_logs_lasting(store)["access_key_id"] == ""


def test_a_connection_of_ones_own_is_left_alone() -> None:
    store = S3 | {"connection": "mine"}
    assert (logs.remote_logs_environment(store, "/ca"), logs.remote_logs_files(store)) == ({}, [])
    assert logs.remote_logs_lasting(store) == {}
    assert logs.remote_logs_lasting(store | {"admin_access_key_id": "ADMIN"})["access_key_id"] == "ADMIN"


def test_azure_is_reached_as_an_application() -> None:
    found = logs.remote_logs_environment(AZURE, "/ca")
    assert json.loads(found.pop(CONNECTION)) == {"conn_type": "wasb", "host": "https://x.blob.core.windows.net"}
    assert found == {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}


@pytest.mark.parametrize(
    ("store", "file", "streamed"),
    [(S3, "aws", False), (WATCH, "aws", True), (GOOGLE, "google", False), (AZURE, "azure", False)],
)
def test_each_cloud_has_a_file_of_its_own(store: dict[str, Any], file: str, streamed: bool) -> None:
    assert logs.remote_logs_files(store) == [f"remote_logs_{file}"]
    assert logs.remote_logs_files(store, streamed=True) == ([f"remote_logs_{file}"] if streamed else [])


@pytest.mark.parametrize(
    ("more", "days", "unfinished", "is_wanted"),
    [
        ({}, 7, 1, True),
        ({"keep_days": 30}, 30, 1, True),
        ({"keep_days": 0}, 0, 1, True),
        ({"keep_days": 0, "keep_unfinished_days": 0}, 0, 0, False),
    ],
)
def test_a_bucket_keeps_logs_for_seven_days(more: dict[str, Any], days: int, unfinished: int, is_wanted: bool) -> None:
    assert logs.remote_logs_lasting(S3 | more) == {
        "bucket": "logs", "prefix": "site/", "days": days, "unfinished_days": unfinished, "is_wanted": is_wanted,
        "access_key_id": "AK",
    }  # fmt: skip


def test_the_life_cycle_may_be_somebody_elses() -> None:
    assert logs.remote_logs_lasting(S3 | {"life_cycle": False}) == {}
    assert logs.remote_logs_lasting(GOOGLE) == {}


def test_a_log_group_is_named_by_its_arn() -> None:
    assert logs.remote_logs_lasting(WATCH) == {
        "group": "/airflow/tasks", "region": "eu-west-1", "days": 7, "access_key_id": "AK",
    }  # fmt: skip
    assert logs.remote_logs_probed(WATCH | {"life_cycle": False}) == {
        "kind": "cloudwatch", "endpoint_url": "", "region": "eu-west-1", "place": "/airflow/tasks", "prefix": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("store", "source"),
    [(S3, "s3://logs/site/"), (GOOGLE, "gs://logs/site/"), (WATCH, "Reading remote log from Cloudwatch")],
)
def test_a_log_says_from_where_it_was_read(store: dict[str, Any], source: str) -> None:
    assert logs.remote_logs_source(store) == source


@pytest.mark.parametrize("store", [S3, WATCH, S3 | {"machine_role": True}, S3 | {"url": "s3://my.logs"}])
def test_what_is_right_is_taken(store: dict[str, Any]) -> None:
    assert checks.remote_logs_problems(store, FACTS) == []


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        ({"access_key_id": "AK"}, "needs a url of one of these forms: s3://BUCKET/PREFIX,"),
        (S3 | {"url": "https://user:hunter2@x"}, "needs a url of one of these forms"),
        (S3 | {"url": "s3://Logs/x"}, "has a url that is not of the form s3://BUCKET/PREFIX."),
        (WATCH | {"url": "cloudwatch://tasks"}, "has a url that is not of the form cloudwatch://arn:aws:logs:"),
        (S3 | {"endpoint_url": "s3.example.com"}, "has an endpoint_url that is not of the form https://NAME:PORT."),
        (S3 | {"endpoint_url": "https://u:hunter2@x"}, "has an endpoint_url that is not of the form"),
        (S3 | {"endpoint_url": "http://s3.example.com"}, "has an endpoint_url by which logs go to s3.example.com un"),
        (S3 | {"acces_key_id": "AK"}, "has the unknown key 'acces_key_id'; did you mean 'access_key_id'?"),
        ({"url": "s3://logs"}, "has no access_key_id, which airflow_remote_logs_key is the secret of."),
        (S3 | {"keep_days": -1}, "has keep_days: -1. Set it to a number of days, or to 0 for ever."),
        (S3 | {"keep_days": True}, "has keep_days: True."),
        (S3 | {"delete_local": "yes"}, "has delete_local: 'yes'. Set it to true or false."),
        (WATCH | {"keep_days": 8}, "has keep_days: 8. CloudWatch knows 0, 1, 3, 5, 7,"),
        (S3 | {"admin_access_key_id": "A"}, "has admin_access_key_id, and airflow_remote_logs_admin_key is not set"),
        (AZURE | {"tenant_id": ""}, "has no tenant_id or no client_id"),
        ({"url": "wasb://logs", "machine_role": True}, "has no endpoint_url. Add that of the storage account"),
        (GOOGLE, "needs the package apache-airflow-providers-google, which the release is made without. No lock has"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(store: dict[str, Any], problem: str) -> None:
    found = checks.remote_logs_problems(store, FACTS)
    assert any(text.startswith(f"site_remote_logs {problem}") for text in found), found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (FACTS | {"keys": KEYS | {"key": False}}, "needs the variable airflow_remote_logs_key, which is not set"),
        (FACTS | {"release": RELEASE | {"extras": []}}, "needs the package apache-airflow-providers-amazon"),
        (
            FACTS | {"release": RELEASE | {"environment": {"AWS_SHARED_CREDENTIALS_FILE": "/x"}}},
            "and AWS_SHARED_CREDENTIALS_FILE in airflow_environment exclude each other.",
        ),
    ],
)
def test_what_is_lacking_is_named(facts: dict[str, Any], problem: str) -> None:
    (found,) = checks.remote_logs_problems(S3, facts)
    assert found.startswith(f"site_remote_logs {problem}")


@pytest.mark.parametrize("package", ["apache-airflow-providers-google>=15", "apache_airflow_providers_google[x]==1"])
def test_a_provider_may_come_by_a_package(package: str) -> None:
    facts = FACTS | {"release": RELEASE | {"packages": [package]}}
    assert checks.remote_logs_problems(GOOGLE, facts) == []


@pytest.mark.parametrize(
    ("probe", "problem"),
    [
        ({"error": "", "stage": ""}, ""),
        ({"error": "SignatureDoesNotMatch", "stage": "write"}, "Correct airflow_remote_logs_key."),
        ({"error": "InvalidAccessKeyId", "stage": "write"}, "Correct access_key_id."),
        ({"error": "AccessDenied", "stage": "write"}, "cannot write to s3://logs/site: AccessDenied. Let the key"),
        ({"error": "AccessDenied", "stage": "list"}, "cannot list what is in s3://logs/site"),
        ({"error": "NoSuchBucket", "stage": "write"}, "Make it there, or correct its name in url."),
        ({"error": "certificate verify failed", "stage": "tls"}, "to base_ca_certificates, or correct the name"),
        ({"error": "[Errno 111] Connection refused", "stage": "connection"}, "does not answer: [Errno 111]"),
    ],
)
def test_what_the_server_says_has_a_remedy(probe: dict[str, str], problem: str) -> None:
    found = checks.remote_logs_problems(S3, {"probe": probe, "kept_in": False})
    assert len(found) == bool(problem)
    assert all(text.startswith("site_remote_logs: ") and problem in text for text in found)


def test_a_host_that_a_firewall_keeps_in_comes_there_later() -> None:
    answer = {"error": "timed out", "stage": "connection"}
    assert checks.remote_logs_problems(S3, {"probe": answer, "kept_in": True}) == []
