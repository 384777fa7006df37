"""The role grafana: what it writes, and what it refuses."""

import json
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_module import load
from airstrip_render import Role, written
from airstrip_tree import PROJECT
from ansible.errors import AnsibleError

OWN: dict[str, Any] = {
    "grafana_admin_password": "secret-grafana-password",
    "grafana_secret_key": "secret-grafana-key",
    "__grafana_package": {"changed": False},
    "grafana_prometheus_servers": [
        {
            "name": "Prometheus",
            "url": "https://192.0.2.9:9090",
            "user": "viewer",
            "password": "secret-viewer",
            "ca": "PEM",
        }
    ],
}
SECRETS = ("secret-grafana-password", "secret-grafana-key", "secret-viewer", "secret-certificate-key")
CREDENTIALS = "__grafana_credentials_given | grafana_credential_files(__grafana_secrets_directory)"
FILE = "$__file{{/run/credentials/grafana-server.service/{}}}"


def role(**variables: Any) -> Role:
    return Role("grafana", OWN | variables)


def settings(on: Role) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.read_string(on.render("grafana.ini.j2"))
    return parser


def test_nobody_gets_in_without_a_login_from_another_host() -> None:
    found = settings(role())
    assert dict(found["server"]) | {
        "protocol": "http", "http_addr": "127.0.0.1", "http_port": "3000", "root_url": "http://localhost:3000/",
    } == dict(found["server"])  # fmt: skip
    assert found["auth.anonymous"]["enabled"] == "false"
    assert found["users"]["allow_sign_up"] == "false"
    assert found["security"]["admin_password"] == FILE.format("admin_password")
    assert found["security"]["secret_key"] == FILE.format("secret_key")


def test_with_tls_it_speaks_nothing_else() -> None:
    found = settings(role(grafana_tls_enabled=True, grafana_listen_address="192.0.2.1"))
    assert found["server"]["protocol"] == "https"
    assert found["server"]["cert_key"] == "/etc/grafana/server.key"
    assert found["server"]["root_url"].startswith("https://")
    assert found["security"]["cookie_secure"] == "true"


def test_settings_of_ones_own_come_on_top() -> None:
    oidc = {"enabled": True, "client_secret": FILE.format("oidc"), "role_attribute_path": "contains(groups[*], 'a')"}
    found = settings(role(grafana_settings={"auth.generic_oauth": oidc, "users": {"allow_sign_up": True}}))
    assert found["auth.generic_oauth"]["client_secret"] == FILE.format("oidc")
    assert found["auth.generic_oauth"]["role_attribute_path"] == '''"""contains(groups[*], 'a')"""'''
    assert found["users"]["allow_sign_up"] == "true"
    assert found["users"]["allow_org_create"] == "false"


def test_secrets_are_where_root_and_grafana_alone_read_them() -> None:
    on = role(
        grafana_tls_enabled=True,
        grafana_certificate_key="secret-certificate-key",
        grafana_secret_files=[{"name": "oidc", "password": "secret-oidc"}],
    )
    for entry in written("grafana", "configure", on):
        held = [secret for secret in SECRETS if secret in str(entry.get("content"))]
        assert bool(held) == bool(entry.get("secret")), entry["path"]
    files = {entry["path"]: entry["content"] for entry in on.evaluate(CREDENTIALS)}
    assert files == {
        "/etc/grafana/credentials/oidc": "secret-oidc",
        "/etc/grafana/credentials/admin_password": "secret-grafana-password",
        "/etc/grafana/credentials/secret_key": "secret-grafana-key",
    }
    unit = on.render("airstrip.conf.j2")
    for name in ("oidc", "admin_password", "secret_key"):
        assert f"\nLoadCredential={name}:/etc/grafana/credentials/{name}\n" in unit
    assert "secret-" not in unit


@pytest.mark.parametrize("name", ["secret_key", "../grafana.ini", "a b", ""])
def test_a_credential_is_a_file_of_its_own(name: str) -> None:
    with pytest.raises(AnsibleError, match="grafana_secret_files"):
        role(grafana_secret_files=[{"name": name, "password": "other"}]).evaluate(CREDENTIALS)


def test_what_is_provided_is_yaml() -> None:
    on = role()
    sources = yaml.safe_load(on.render("datasources.yaml.j2"))
    assert sources["datasources"][0]["secureJsonData"] == {"basicAuthPassword": "secret-viewer", "tlsCACert": "PEM"}
    providers = yaml.safe_load(on.render("dashboards.yaml.j2"))["providers"]
    assert [provider["options"]["path"] for provider in providers] == ["/etc/grafana/dashboards"]


def test_a_repository_is_asked_with_its_key_only() -> None:
    text = role(grafana_repository="https://apt.example.com", grafana_repository_components=["a", "b"]).render(
        "grafana.sources.j2"
    )
    fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert fields == {
        "Types": "deb",
        "URIs": "https://apt.example.com",
        "Suites": "stable",
        "Components": "a b",
        "Signed-By": "/etc/apt/keyrings/grafana.asc",
    }


def dashboards(*directories: Path) -> list[dict[str, str]]:
    lookup = load(PROJECT / "lookup_plugins" / "grafana_dashboards.py").LookupModule()
    lookup.set_options = lambda **_: None
    found: list[dict[str, str]] = lookup.run([str(directory) for directory in directories])
    return found


def test_all_dashboards_are_written(tmp_path: Path) -> None:
    own = json.dumps({"title": "Mine", "panels": []})
    (tmp_path / "mine.json").write_text(own)
    found = role(grafana_dashboard_directories=[str(tmp_path)]).evaluate("__grafana_dashboard_files")
    names = {path.name for path in (PROJECT / "roles" / "grafana" / "files" / "dashboards").glob("*.json")}
    assert len(names) == 11
    assert {Path(entry["path"]).name for entry in found} == names | {"mine.json"}
    assert found[-1] == {"path": "/etc/grafana/dashboards/mine.json", "content": own}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no dashboard"),
        ({"a.txt": ""}, "has no dashboard"),
        ({"a.json": "{"}, "a.json is no JSON"),
        ({"a.json": "[]"}, "a.json is no dashboard"),
        ({"a.json": '{"title": "A"}'}, "a.json is no dashboard"),
        ({"site.json": '{"title": "A", "panels": []}'}, "have the same site.json"),
        ({"a.json": '{"title": "A", "panels": [], "uid": "airstrip-site"}'}, "have the same uid"),
    ],
)
def test_a_directory_that_has_something_else_is_refused(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(AnsibleError) as caught:
        dashboards(PROJECT / "roles" / "grafana" / "files" / "dashboards", tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match="is no directory"):
        dashboards(tmp_path / "none")


def test_the_sites_own_servers_are_its_sources_unless_others_are_named() -> None:
    here: dict[str, Any] = {
        "grafana_prometheus_hosts": [{"name": "vm1", "address": "192.0.2.1", "port": 9090}],
        "grafana_prometheus_password": "secret-viewer",
        "grafana_prometheus_ca_certificate": "PEM",
    }
    found = yaml.safe_load(role(**here, grafana_prometheus_servers=[]).render("datasources.yaml.j2"))["datasources"]
    assert [source["url"] for source in found] == ["https://192.0.2.1:9090"]
    found = yaml.safe_load(role(**here).render("datasources.yaml.j2"))["datasources"]
    assert [source["url"] for source in found] == ["https://192.0.2.9:9090"]
