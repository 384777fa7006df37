"""Git servers for tests, which are what they are elsewhere: sshd, and Git's own backend for HTTPS behind a login."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from airstrip_certificates import Issued, issue
from airstrip_sinks import wait_until

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
TOKEN = "a-token-that-nobody-prints"  # noqa: S105
_IDENTITY = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}


def git(*arguments: str, at: Path) -> str:
    """Run Git in a directory and return what it prints."""
    environment = os.environ | _IDENTITY | {"GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(["git", *arguments], capture_output=True, check=True, cwd=at, env=environment, text=True)
    return done.stdout.strip()


def repository(path: Path, files: dict[str, str], *, submodule: str = "") -> str:
    """Make a repository with one commit on the branch `main`, and return the commit."""
    path.mkdir(parents=True)
    git("init", "--quiet", "--initial-branch=main", at=path)
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    if submodule:
        (path / ".gitmodules").write_text(f'[submodule "lib"]\n\tpath = lib\n\turl = {submodule}\n', encoding="utf-8")
    git("add", ".", at=path)
    git("commit", "--quiet", "--message=one", at=path)
    git("tag", "v1", at=path)
    return git("rev-parse", "HEAD", at=path)


@dataclass(frozen=True)
class SshServer:
    """A server that lets one key in, at a URL that ends in a slash."""

    url: str
    known_hosts: str
    deploy_key: str


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text(encoding="utf-8")


@contextmanager
def ssh_server(directory: Path, repositories: Path) -> Iterator[SshServer]:
    """Run sshd for the repositories in a directory."""
    assert SSHD
    directory.mkdir()
    host, allowed, port = _key(directory / "host"), _key(directory / "deploy"), _free_port()
    (directory / "allowed").write_text(f'restrict,command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"" {allowed}')
    options = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": directory / "host", "PidFile": "none",
        "AuthorizedKeysFile": directory / "allowed", "StrictModes": "no", "PermitRootLogin": "yes",
    }  # fmt: skip
    (directory / "config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    with subprocess.Popen([SSHD, "-D", "-e", "-f", str(directory / "config")], stderr=subprocess.DEVNULL) as process:
        try:
            url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{repositories}/"
            known = f"[127.0.0.1]:{port} {host}"
            wait_until(lambda: "SSH-" in _scanned(port), 20)
            yield SshServer(url, known, (directory / "deploy").read_text(encoding="utf-8"))
        finally:
            process.terminate()


def _scanned(port: int) -> str:
    found = subprocess.run(["ssh-keyscan", "-p", str(port), "127.0.0.1"], capture_output=True, check=False, text=True)
    return found.stdout + found.stderr


@dataclass(frozen=True)
class HttpsServer:
    """A server that wants a token, at a URL that ends in a slash, with a certificate of its own authority."""

    url: str
    authority: Issued


class _Backend(BaseHTTPRequestHandler):
    """Git's own CGI program, for who has the token."""

    root: Path
    # With lengths: Git minds a connection that ends without a word, as Python's do.
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"oauth2:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_USER": "t",
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(["git", "http-backend"], capture_output=True, check=True, env=environment, input=body)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        headers["Content-Length"] = str(len(content))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def https_server(directory: Path, repositories: Path) -> Iterator[HttpsServer]:
    """Serve the repositories in a directory by HTTPS."""
    directory.mkdir()
    authority = issue("authority")
    issued = issue("git", authority, ("127.0.0.1",))
    (directory / "server.pem").write_text(issued.key + issued.pem, encoding="utf-8")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    handler = type("Handler", (_Backend,), {"root": repositories})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield HttpsServer(f"https://127.0.0.1:{server.server_port}/", authority)
        finally:
            server.shutdown()
