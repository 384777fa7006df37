"""The module identity_look, asked of a real directory, and of a server by HTTPS that is or is not a provider."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from airstrip_certificates import Issued, issue
from airstrip_directory import GROUP, PASSWORD, PEOPLE, PROGRAM, USER, Directory, directory_running, free_port
from airstrip_module import run_module

needs_slapd = pytest.mark.skipif(PROGRAM is None, reason="Debian's slapd is not installed")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with directory_running(tmp_path_factory.mktemp("directory")) as found:
        yield found


def ask(tmp_path: Path, directory: Directory, **more: Any) -> dict[str, Any]:
    """Return what the module says of one directory; its password is in no output."""
    given = {"user": USER, "password": PASSWORD, "search_base": PEOPLE, "ca_path": "/nonexistent", "timeout": 2}
    given |= {"servers": [f"ldaps://127.0.0.1:{directory.tls}"], "authorities": {"/ca": directory.authority.pem}}
    result = run_module(tmp_path, "identity_look", given | more, check=True)
    assert not result["changed"]
    assert PASSWORD not in json.dumps({name: value for name, value in result.items() if name != "invocation"})
    (found,) = result["ldap"]
    return dict(found)


@needs_slapd
def test_a_directory_lets_in_and_shows_its_groups(tmp_path: Path, directory: Directory) -> None:
    groups = [GROUP.lower(), "cn=nobody,dc=example,dc=com"]
    assert ask(tmp_path, directory, groups=groups)["groups"] == {groups[0]: GROUP, groups[1]: ""}
    plain = {"servers": [f"ldap://127.0.0.1:{directory.plain}"], "start_tls": True}
    found = ask(tmp_path, directory, groups=[GROUP] * 200, **plain)
    assert (found["error"], found["groups"]) == ("", {GROUP: GROUP})


@needs_slapd
@pytest.mark.parametrize(
    ("given", "stage", "error"),
    [
        ({"servers": ["ldaps://127.0.0.1:{free}"]}, "connection", "Connection refused"),
        ({"servers": ["ldaps://nowhere.invalid"]}, "connection", "not known"),
        ({"servers": ["ldaps://127.0.0.1:{plain}"]}, "tls", "SSL"),
        ({"authorities": {}}, "tls", "certificate verify failed"),
        ({"servers": ["ldaps://localhost:{tls}"]}, "tls", "Hostname mismatch"),
        ({"password": "wrong-4712"}, "login", "it knows no such user, or another password (LDAP 49)"),
        ({"user": "cn=nobody,dc=example,dc=com"}, "login", "it knows no such user, or another password (LDAP 49)"),
        ({"user": "nobody"}, "login", "that is no DN (LDAP 34"),
        ({"search_base": "ou=nowhere,dc=example,dc=com"}, "search", "there is no ou=nowhere,dc=example,dc=com, or the"),
        ({"search_base": "dc=elsewhere"}, "search", "there is no dc=elsewhere"),
    ],
)
def test_what_a_directory_refuses_is_told(
    tmp_path: Path, directory: Directory, given: dict[str, Any], stage: str, error: str
) -> None:
    ports = {"free": free_port(), "plain": directory.plain, "tls": directory.tls}
    servers = {"servers": [url.format(**ports) for url in given["servers"]]} if "servers" in given else {}
    found = ask(tmp_path, directory, **given | servers)
    assert (found["stage"], found["groups"]) == (stage, {})
    assert error in found["error"]


@needs_slapd
def test_a_directory_is_none_that_speaks_http(tmp_path: Path, directory: Directory) -> None:
    with serving(tmp_path, directory.authority, {}) as port:
        found = ask(tmp_path, directory, servers=[f"ldaps://127.0.0.1:{port}"])
    assert found["stage"] == "login"
    assert found["error"]


@contextmanager
def serving(tmp_path: Path, authority: Issued, metadata: Any) -> Iterator[int]:
    """Serve one file by HTTPS, as each provider of OpenID Connect does; give the port."""
    server = issue("provider", authority, ("127.0.0.1",))
    (tmp_path / "server.pem").write_text(server.pem + server.key, encoding="utf-8")
    (tmp_path / ".well-known").mkdir(exist_ok=True)
    (tmp_path / ".well-known/openid-configuration").write_text(json.dumps(metadata), encoding="utf-8")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.socket = context.wrap_socket(found.socket, server_side=True)
        threading.Thread(target=found.serve_forever, daemon=True).start()
        try:
            yield found.server_address[1]
        finally:
            found.shutdown()


def test_a_provider_tells_its_metadata(tmp_path: Path) -> None:
    authority = issue("The provider's authority")
    metadata = {"issuer": "https://idp.example.com"}
    with serving(tmp_path, authority, metadata) as port:
        url = f"https://127.0.0.1:{port}/.well-known/openid-configuration"
        given = {"providers": {"corp": url, "gone": f"{url}-not"}, "ca_path": "/nonexistent"}
        trusted = run_module(tmp_path, "identity_look", given | {"authorities": {"/ca": authority.pem}})["oauth"]
        unknown = run_module(tmp_path, "identity_look", given)["oauth"]
    assert trusted[0] == {"name": "corp", "url": url, "error": "", "metadata": metadata}
    assert (trusted[1]["metadata"], trusted[1]["error"]) == ({}, "HTTP Error 404: File not found")
    assert "certificate verify failed" in unknown[0]["error"]


def test_a_provider_is_asked_by_its_proxy(tmp_path: Path) -> None:
    proxies = {"https_proxy": f"http://127.0.0.1:{free_port()}", "no_proxy": "direct.invalid"}
    providers = {"corp": "https://idp.invalid/x", "direct": "https://direct.invalid/x"}
    given = {"providers": providers, "proxies": proxies, "ca_path": "/nonexistent"}
    proxied, direct = run_module(tmp_path, "identity_look", given)["oauth"]
    assert "Connection refused" in proxied["error"]
    assert "Connection refused" not in direct["error"]
