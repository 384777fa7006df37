"""A site's own secrets out of AWS, as moto's server speaks for it: what is read, how often, and what is refused."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from airstrip_tree import PROJECT
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar

JWT, API = "of-the-parameter-store", "of-the-secrets-manager"
REGION = "eu-central-1"
KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}


@dataclass(frozen=True)
class Store:
    """A server, and the log of its requests."""

    url: str
    log: Path

    def source(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "region_name": REGION, "endpoint_url": self.url, "path": "/airstrip/{name}", **more}

    def requests(self) -> int:
        return self.log.read_text(encoding="utf-8").count('"POST / ')


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    if not lookup_loader.has_plugin("env"):
        init_plugin_loader([])
    lookup_loader.add_directory(str(PROJECT / "lookup_plugins"))


@pytest.fixture(name="store", scope="module")
def fixture_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("w") as stream, subprocess.Popen(argv, stdout=stream, stderr=stream) as process:
        limit = time.monotonic() + 30
        while "Running on" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < limit
            time.sleep(0.1)
        yield _filled(Store(f"http://127.0.0.1:{port}", log))
        process.terminate()


def _filled(store: Store) -> Store:
    given: dict[str, Any] = {"region_name": REGION, "endpoint_url": store.url, **KEYS}
    parameters, manager = boto3.client("ssm", **given), boto3.client("secretsmanager", **given)
    for name in ("airflow_jwt_secret", "asked_by_many"):
        parameters.put_parameter(Name=f"/airstrip/{name}", Value=JWT, Type="SecureString")
    manager.create_secret(Name="/airstrip/airflow_jwt_secret", SecretString=API)
    manager.create_secret(Name="together", SecretString=f'{{"airflow_api_secret_key": "{API}"}}')
    manager.create_secret(Name="/airstrip/no_fields", SecretString=API)
    return store


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name.upper(), value)


def look_up(source: dict[str, Any], *names: str, **options: Any) -> list[str]:
    loader, variables = DataLoader(), {"site_secrets_source": source}
    plugin = lookup_loader.get("airflow_secret", loader=loader, templar=Templar(loader=loader, variables=variables))
    found: list[str] = plugin.run(list(names), variables, file="/nowhere/.secrets.yml", **options)
    return found


def test_a_parameter_is_read(store: Store) -> None:
    assert look_up(store.source("aws_ssm"), "airflow_jwt_secret") == [JWT]


def test_secrets_are_read_by_any_naming(store: Store) -> None:
    source = store.source("aws_secrets_manager", paths={"airflow_api_secret_key": "together#{name}"})
    assert look_up(source, "airflow_jwt_secret", "airflow_api_secret_key") == [API, API]


@pytest.mark.parametrize("kind", ["aws_ssm", "aws_secrets_manager"])
def test_what_is_missing_is_named_with_its_path(store: Store, kind: str) -> None:
    with pytest.raises(AnsibleError, match=rf"{kind} at {store.url} does not have nothing at /airstrip/nothing"):
        look_up(store.source(kind), "nothing")
    first, second = (look_up(store.source(kind), "nothing", persist=False) for _ in range(2))
    assert first != second


def test_a_value_without_fields_is_not_shown(store: Store) -> None:
    with pytest.raises(AnsibleError, match=r"/airstrip/no_fields of aws_secrets_manager at .* is no mapping") as error:
        look_up(store.source("aws_secrets_manager", field="value"), "no_fields")
    assert API not in str(error.value)


def test_a_server_that_is_not_there_is_named() -> None:
    source = {"type": "aws_ssm", "region_name": REGION, "endpoint_url": "http://127.0.0.1:1", "path": "/{name}"}
    with pytest.raises(AnsibleError, match=r"site_secrets_source: aws_ssm at http://127.0.0.1:1 gives no secrets: "):
        look_up(source, "a")


def test_a_secret_is_asked_for_once_however_many_processes_use_it(store: Store) -> None:
    """As Ansible works: a process for each task of each host, forked from one that has the directory."""
    before, fork = store.requests(), multiprocessing.get_context("fork")
    with fork.Pool(4, maxtasksperchild=1) as pool:
        found = pool.starmap(look_up, [(store.source("aws_ssm"), "asked_by_many")] * 8, chunksize=1)
    assert found == [[JWT]] * 8
    assert store.requests() == before + 1
