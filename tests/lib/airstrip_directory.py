"""A directory for tests: Debian's slapd, as an ordinary process on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airstrip_certificates import Issued, issue

USER, PASSWORD = "cn=airflow,ou=services,dc=example,dc=com", "bind-4711"
PEOPLE = "ou=people,dc=example,dc=com"
GROUP = "cn=Analysts,ou=groups,dc=example,dc=com"
# Where its files are unpacked, where it is no package of the system.
ROOT = Path(os.environ.get("AIRSTRIP_SLAPD_ROOT", "/"))
PROGRAM = shutil.which("slapd", path=f"{ROOT}/usr/sbin")

_CONFIGURATION = """
include {root}/etc/ldap/schema/core.schema
include {root}/etc/ldap/schema/cosine.schema
include {root}/etc/ldap/schema/inetorgperson.schema
modulepath {root}/usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {directory}/ca.crt
TLSCertificateFile {directory}/server.crt
TLSCertificateKeyFile {directory}/server.key
database mdb
suffix "dc=example,dc=com"
directory {directory}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{user}" read by * none
"""
_ENTRIES = f"""\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: ou=services,dc=example,dc=com
objectClass: organizationalUnit
ou: services

dn: {USER}
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: airflow
userPassword: {PASSWORD}

dn: {GROUP}
objectClass: groupOfNames
cn: Analysts
member: {USER}
"""


@dataclass(frozen=True)
class Directory:
    """A directory that runs, by its ports."""

    plain: int
    tls: int
    authority: Issued


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def directory_running(directory: Path) -> Iterator[Directory]:
    """Run a directory with its data below `directory`."""
    authority = issue("The directory's authority")
    server = issue("directory", authority, ("127.0.0.1",))
    (directory / "data").mkdir()
    files = {"ca.crt": authority.pem, "server.crt": server.pem, "server.key": server.key, "entries.ldif": _ENTRIES}
    files["slapd.conf"] = _CONFIGURATION.format(root=str(ROOT).rstrip("/"), directory=directory, user=USER)
    for name, content in files.items():
        (directory / name).write_text(content, encoding="utf-8")
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, ROOT.glob("**/x86_64-linux-gnu")))}
    environment = environment if Path("/") != ROOT else dict(os.environ)
    given = ["-f", str(directory / "slapd.conf")]
    add = [f"{ROOT}/usr/sbin/slapadd", *given, "-l", str(directory / "entries.ldif")]
    subprocess.run(add, check=True, env=environment, capture_output=True)
    found = Directory(free_port(), free_port(), authority)
    urls = f"ldap://127.0.0.1:{found.plain} ldaps://127.0.0.1:{found.tls}"
    with subprocess.Popen([str(PROGRAM), *given, "-h", urls, "-d", "0"], env=environment) as process:
        try:
            _wait_for(found.tls)
            yield found
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    limit = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)
