#!/usr/bin/python3 -I
"""
How a host is, as it sees itself.

    airstrip-status [--json | --prometheus FILE]

prints OK, WARN or ERROR, then each finding with its code and the command that mends it, the first cause first. It
changes nothing and asks nobody for a password; as root it sees more. Exit status: 0 OK, 1 WARN, 2 ERROR; with
--prometheus, which writes the same as metrics, always 0.

One file with two uses: the role base installs it as that command, and the module host_status gives what it sees to
playbooks/status.yml. So it needs no more than Python 3.9, and has the table of all findings and their limits.
docs/operations-status.md has a row for each code.

What it reads, others may have written: processes of Airflow, the socket of HAProxy. All of it is data, checked by its
type, cut to a length, and without control characters.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import datetime
import fnmatch
import io
import json
import os
import re
import shlex
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

RECORD = "/etc/airstrip/status.json"
OK, WARN, ERROR = "OK", "WARN", "ERROR"
LEVELS = (OK, WARN, ERROR)


@dataclass(frozen=True)
class Kind:
    """The findings of one code: their level, and the command that mends them, typed on that host or the controller."""

    level: str
    at: str
    command: str


HOST, CONTROLLER = "host", "controller"
_JOURNAL = "journalctl -n 50 -u {unit}; systemctl restart {unit}"
# In the order of causes: what stands above explains what stands below, and is said first.
KINDS = {
    "host-unreachable": Kind(ERROR, CONTROLLER, "site.yml --limit '!{host}' goes on without it"),
    "host-unseen": Kind(ERROR, CONTROLLER, "playbooks/status.yml --limit {host} -vvv; site.yml --limit {host}"),
    "disk-full": Kind(ERROR, HOST, "du -xh --max-depth=2 {path} | sort -h | tail"),
    "mount-missing": Kind(ERROR, HOST, "mount {path}"),
    "clock-wrong": Kind(ERROR, HOST, "chronyc makestep"),
    "certificate-missing": Kind(ERROR, CONTROLLER, "site.yml"),
    "certificate-ended": Kind(ERROR, CONTROLLER, "site.yml; replace it first if it is your own"),
    "outside-silent": Kind(ERROR, HOST, "timeout 3 bash -c '</dev/tcp/{address}/{port}'"),
    "component-missing": Kind(ERROR, CONTROLLER, "site.yml"),
    "component-down": Kind(ERROR, HOST, _JOURNAL),
    "database-silent": Kind(ERROR, HOST, "journalctl -n 50 -u 'postgresql@*'"),
    "broker-silent": Kind(ERROR, HOST, "journalctl -n 50 -u redis-server -u valkey-server"),
    "component-silent": Kind(ERROR, HOST, _JOURNAL),
    "port-closed": Kind(ERROR, HOST, _JOURNAL),
    "server-down": Kind(ERROR, CONTROLLER, "playbooks/restart.yml --tags airflow_api_server --limit {server}"),
    "queue-unserved": Kind(ERROR, CONTROLLER, "add the queue to site_workers, then site.yml"),
    "host-drained": Kind(WARN, CONTROLLER, "playbooks/undrain.yml --limit {host}"),
    "server-drained": Kind(WARN, CONTROLLER, "playbooks/undrain.yml --limit {server}"),
    "component-restarting": Kind(WARN, HOST, "journalctl -n 50 -u {unit}"),
    "component-disabled": Kind(WARN, HOST, "systemctl enable {unit}"),
    "component-outdated": Kind(WARN, HOST, "systemctl restart {unit}"),
    "component-unplaced": Kind(WARN, CONTROLLER, "site.yml"),
    "releases-differ": Kind(WARN, CONTROLLER, "site.yml"),
    "certificate-ends": Kind(WARN, CONTROLLER, "site.yml; replace it first if it is your own"),
    "disk-low": Kind(WARN, HOST, "du -xh --max-depth=2 {path} | sort -h | tail"),
    "clock-unsynchronized": Kind(WARN, HOST, "chronyc sources; systemctl restart chrony"),
}
RANKS = {code: rank for rank, code in enumerate(KINDS)}

# Percent of a file system, in blocks or inodes, of which less is free.
DISK_FULL, DISK_LOW = 3, 10
# Seconds that a component may take until it first answers or beats, and until the next beat, which is Airflow's limit.
FIRST_SIGN, NEXT_SIGN = 60, 30
# So many restarts are too many, if the last one is no older than these seconds.
RESTARTS, RESTARTS_WITHIN = 3, 600
# Seconds by which a host's clock may differ from those of the others.
CLOCK = 60
# Seconds for all answers, of the command; and for systemd, which is late only on a host that has no processor left.
PATIENCE, SYSTEMD = 1.5, 20

# Letters of one text, items of one list, and bytes of one answer at most.
_TEXT, _ITEMS, _BYTES = 400, 2000, 1 << 20


@dataclass(frozen=True)
class Finding:
    """What is wrong: its code, host and text; in `names` what its command needs; `order` among those of its code."""

    code: str
    host: str
    text: str
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    order: int = 0

    @property
    def level(self) -> str:
        """WARN or ERROR."""
        return KINDS[self.code].level

    @property
    def command(self) -> str:
        """What mends it."""
        names = {"host": self.host, **self.names}
        # Who copies it into a shell trusts it, and names come from programs.
        return KINDS[self.code].command.format(**{key: shlex.quote(name) for key, name in names.items()})

    @property
    def rank(self) -> tuple[int, int, int]:
        """What it is sorted by: the worst first, and of those the cause."""
        return -LEVELS.index(self.level), RANKS[self.code], self.order


@dataclass(frozen=True)
class Part:
    """What is placed on the host, as the registry has it: a component, or an instance of one.

    Or a server outside of the site that the host needs: that one has no units.

    units         systemd units, as patterns of a shell
    address       at which its ports answer: 127.0.0.1, or that of the server outside
    ports         TCP ports, by service
    url           that answers 200, or nothing
    certificates  files, as patterns; of several that fit, the one that ends last counts
    socket        of HAProxy, whose servers are to be up, or nothing
    """

    name: str
    component: str
    units: tuple[str, ...]
    address: str
    ports: dict[str, int]
    url: str
    certificates: tuple[str, ...]
    socket: str


@dataclass(frozen=True)
class Record:
    """What is to be on a host; the site's model makes it, in the order in which its parts start.

    known_units        patterns of all units that a site may have
    elastic_units      those that run while they are wanted: whether they do is no finding
    install_directory  with the releases, and the link `current`
    drained_file       is there if the host is drained
    authority          file of the site's authority, or nothing
    renew_days         days before its end when a certificate is renewed
    muted              findings that are not shown: by code, the seconds since the epoch until which
    """

    host: str
    parts: tuple[Part, ...]
    known_units: tuple[str, ...]
    elastic_units: tuple[str, ...]
    install_directory: str
    drained_file: str
    authority: str
    renew_days: int
    muted: dict[str, float]


@dataclass(frozen=True)
class Unit:
    """A unit of systemd: `age` in seconds and `since` by the host's clock are of its state, null if it never ran."""

    unit: str
    active: str
    sub: str
    result: str
    enabled: str
    restarts: int
    age: float | None
    since: float | None
    release: str


@dataclass(frozen=True)
class Certificate:
    """A certificate of a part by the name of its file, and the moment of its end: null, if there is no readable one."""

    part: str
    name: str
    ends: float | None


@dataclass(frozen=True)
class Disk:
    """A file system, by its mount point, with the part of it that is free, in percent."""

    path: str
    free: float


@dataclass(frozen=True)
class Mount:
    """A mount point that is not as it should be: `missing` or `silent`."""

    path: str
    state: str


@dataclass(frozen=True)
class Answer:
    """Whether a port or a URL of a part answers: after how many seconds, or null, and what went wrong."""

    part: str
    what: str
    seconds: float | None
    error: str


@dataclass(frozen=True)
class Server:
    """A server behind HAProxy as it sees it, by its backend."""

    backend: str
    server: str
    status: str
    check: str


@dataclass(frozen=True)
class Drained:
    """Since when a host is drained, and why, in the words of who did it."""

    since: str
    reason: str


@dataclass(frozen=True)
class Facts:
    """What a host says of itself.

    now           its clock, in seconds of the epoch
    current       the release that is installed
    synchronized  whether the clock is kept; null, if nobody is to keep it, as in a container
    hidden        what could not be seen without root
    """

    now: float
    current: str
    units: tuple[Unit, ...]
    certificates: tuple[Certificate, ...]
    disks: tuple[Disk, ...]
    mounts: tuple[Mount, ...]
    answers: tuple[Answer, ...]
    servers: tuple[Server, ...]
    drained: Drained | None
    synchronized: bool | None
    hidden: tuple[str, ...]


# Reading what others say

T = TypeVar("T")
_KINDS_OF_PARTS = {
    kind.__name__: kind for kind in (Part, Unit, Certificate, Disk, Mount, Answer, Server, Drained, Facts, Record)
}
_PLAIN = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


class AnswerError(ValueError):
    """An answer that is not what it should be; the message names the place in it."""


def seconds_of(moment: object) -> float:
    """Return a moment that is written as 2027-01-31 or 2027-01-31T12:00:00Z, in seconds; raise ValueError for another.

    UTC is meant where nothing else is said.
    """
    found = datetime.datetime.fromisoformat(str(moment))
    return found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp()


def clean(text: object) -> str:
    """Return a text in one line, without control characters, of a length that one reads."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(text)[: 4 * _TEXT]).split()
    return " ".join(words)[:_TEXT]


def read(kind: type[T], value: object, place: str = "it") -> T:
    """Return a mapping as one of the types above; raise AnswerError if it lacks a key, or has one of another type."""
    if not isinstance(value, Mapping):
        raise AnswerError(f"{place} is no mapping")
    given = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name not in value:
            raise AnswerError(f"{place} has no {field.name}")
        given[field.name] = _item(str(field.type), value[field.name], f"{place}.{field.name}")
    return kind(**given)


def _item(wanted: str, value: Any, place: str) -> Any:
    if wanted.endswith(" | None"):
        return None if value is None else _item(wanted[:-7], value, place)
    if wanted.startswith("tuple["):
        if not isinstance(value, (list, tuple)) or len(value) > _ITEMS:
            raise AnswerError(f"{place} is no list, or too long")
        return tuple(_item(wanted[6:-6], item, f"{place}[{index}]") for index, item in enumerate(value))
    if wanted.startswith("dict[str, "):
        if not isinstance(value, Mapping):
            raise AnswerError(f"{place} is no mapping")
        return {clean(key): _item(wanted[10:-1], item, f"{place}.{key}") for key, item in value.items()}
    if wanted in _KINDS_OF_PARTS:
        return read(_KINDS_OF_PARTS[wanted], value, place)
    if not isinstance(value, _PLAIN[wanted]) or (wanted != "bool" and isinstance(value, bool)):
        raise AnswerError(f"{place} is no {wanted}")
    return clean(value) if wanted == "str" else value


# What the host says

_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "UnitFileState",
    "StateChangeTimestampMonotonic", "Where",
)  # fmt: skip
# File systems that can be full, and where those lie that are no one's concern.
_SIZED = re.compile(r"ext[234]|xfs|btrfs|zfs|f2fs|overlay|tmpfs|nfs4?|cifs|ceph|fuse\.(glusterfs|ceph|s3fs)")
_NOT_SIZED = re.compile(r"/(proc|sys|dev|run/credentials|run/user)/")
_RELEASE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*")


def _content(path: str | Path, limit: int = _BYTES) -> bytes:
    """Return what is in a regular file, to a limit. Raises OSError; never waits for the other end of a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no file")
        return file.read(limit)


def _said(path: str, limit: int = _BYTES) -> str:
    """Return what is in a file; nothing if it is gone, or not for our eyes."""
    try:
        return _content(path, limit).decode(errors="replace")
    except OSError:
        return ""


def release_of(process: str, directory: str) -> str:
    """Return the release whose Python a process runs; nothing if it runs none.

    By its libraries, since `current` may lead elsewhere by now, and processes rename themselves. One that has just
    begun has loaded none: it still has its command line.
    """
    path = re.escape(directory) + r"/releases/([^/\s\0]+)/"
    for name, before in (("maps", r"(?m)^[0-9a-f]\S* \S+ \S+ \S+ \d+ +"), ("cmdline", r"(?:^|\0)")):
        found = re.search(before + path, _said(f"/proc/{process}/{name}", 8 * _BYTES))
        if found and _RELEASE.fullmatch(found.group(1)):
            return found.group(1)
    return ""


def _unit(seen: Mapping[str, str], directory: str) -> Unit:
    changed = int(seen["StateChangeTimestampMonotonic"]) / 1e6
    age = time.monotonic() - changed
    return Unit(
        unit=seen["Id"],
        active=seen["ActiveState"],
        sub=seen["SubState"],
        result=seen["Result"],
        enabled=seen["UnitFileState"],
        restarts=int(seen["NRestarts"] or 0),
        age=round(age, 1) if changed else None,
        # By the clock of the host, as its journal has it.
        since=round(time.time() - age, 1) if changed else None,
        release=release_of(seen["MainPID"], directory) if seen["MainPID"] not in ("", "0") else "",
    )


def shown(text: str) -> Iterator[dict[str, str]]:
    """Yield the properties of each unit that is there, once, from what `systemctl show` prints."""
    found = {}
    for block in text.split("\n\n"):
        seen = dict.fromkeys(_PROPERTIES, "")
        seen.update(dict(line.partition("=")[::2] for line in block.splitlines()))
        seen["StateChangeTimestampMonotonic"] = seen["StateChangeTimestampMonotonic"] or "0"
        if seen["LoadState"] not in ("", "not-found"):
            found[seen["Id"]] = seen
    yield from (seen for _, seen in sorted(found.items()))


def _systemctl(names: Iterable[str]) -> list[dict[str, str]]:
    """Return the properties of units; patterns stand for those that systemd knows, whether or not they run."""
    wanted = list(names)
    # `show` takes a pattern for units that run alone.
    listed = _answer(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "--", *wanted])
    found = {line.split()[0]: None for line in listed.splitlines() if line.strip()}
    found |= dict.fromkeys(name for name in wanted if not set("*?[") & set(name))
    return list(shown(_answer(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), "--", *found])))


def _answer(argv: list[str]) -> str:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        result = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=SYSTEMD, env=environment)
    except subprocess.TimeoutExpired:
        raise AnswerError(f"systemd does not answer within {SYSTEMD} s") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise AnswerError(f"systemd does not answer: {clean(getattr(error, 'stderr', '') or error)}") from error
    return result.stdout


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element of DER, in which X.509 is written. Raises IndexError if it is none."""
    while data:
        length, start = data[1], 2
        if length & 0x80:
            start = 2 + (length & 0x7F)
            length = int.from_bytes(data[2:start], "big")
        if len(data) < start + length:
            raise IndexError("cut off")
        yield data[0], data[start : start + length]
        data = data[start + length :]


def end_of(pem: bytes) -> float | None:
    """Return when the first certificate in PEM ends, in seconds of the epoch; None if there is none."""
    found = re.search(rb"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", pem)
    try:
        (_, certificate), *_ = _elements(base64.b64decode(found.group(1)) if found else b"")
        (_, signed), *_ = _elements(certificate)
        fields = [content for tag, content in _elements(signed) if tag != 0xA0]
        # Serial number, algorithm, issuer, validity.
        _, (tag, end) = _elements(fields[3])
        # UTCTime has two digits of the year: those of 1950 to 2049.
        text = end.decode("ascii")
        year = text if tag == 0x18 else ("20" if int(text[:2]) < 50 else "19") + text
        return float(timegm(time.strptime(year, "%Y%m%d%H%M%SZ")))
    except (IndexError, ValueError):
        return None


def _certificate(part: str, name: str, pattern: str) -> Certificate:
    """Return the certificate in the files that fit a pattern. Raises PermissionError for one that only root sees."""
    ends = []
    for path in [*Path("/").glob(pattern.lstrip("/"))] or [Path(pattern)]:
        with suppress(FileNotFoundError, IsADirectoryError):
            ends.append(end_of(_content(path)))
    return Certificate(part, name, max((end for end in ends if end is not None), default=None))


def certificate_files(record: Record) -> Iterator[tuple[str, str, str]]:
    """Yield part, name and pattern of each certificate of a host."""
    if record.authority:
        yield "", "authority", record.authority
    for part in record.parts:
        for pattern in part.certificates:
            stem = Path(pattern).stem
            yield part.name, part.name if len(part.certificates) == 1 else f"{part.name} {stem}", pattern


def mounted(table: str) -> dict[str, str]:
    """Return the file system at each mount point, from /proc/self/mounts; the last one at a point covers the others."""
    rows = (line.split() for line in table.splitlines())
    return {_unescaped(row[1]): row[2] for row in rows if len(row) > 3}


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), path)


def expected_mounts(fstab: str) -> list[str]:
    """Return the mount points that fstab wants mounted at all times."""
    rows = (line.split() for line in fstab.splitlines() if not line.lstrip().startswith("#"))
    points = ((row[1], row[3].split(",")) for row in rows if len(row) > 3)
    optional = {"noauto", "nofail", "x-systemd.automount"}
    return [_unescaped(path) for path, options in points if path.startswith("/") and not optional & {*options}]


def _space(path: str) -> tuple[int, Disk]:
    """Return a file system's number, and what is free of it. Raises OSError for one that has no size."""
    seen = os.statvfs(path)
    if not seen.f_blocks:
        raise OSError(f"{path} has no size")
    # Root's reserve is nobody else's.
    parts = [seen.f_bavail / (seen.f_blocks - seen.f_bfree + seen.f_bavail or 1)]
    parts += [seen.f_favail / seen.f_files] if seen.f_files else []
    return Path(path).stat().st_dev, Disk(path, round(100 * min(parts), 1))


class _Answers:
    """Questions that are asked at the same time, by kind and two names, and the answers that came within a time."""

    def __init__(self, patience: float) -> None:
        self._end = time.monotonic() + patience
        self._threads: dict[tuple[str, str, str], threading.Thread] = {}
        self._found: dict[tuple[str, str, str], Any] = {}

    def ask(self, key: tuple[str, str, str], function: Callable[..., Any], *arguments: Any) -> None:
        """Ask a question; an OSError is an answer."""

        def run() -> None:
            try:
                self._found[key] = function(*arguments)
            except OSError as error:
                self._found[key] = error

        # Nobody waits for its end: a dead network file system never lets it go.
        self._threads[key] = threading.Thread(target=run, daemon=True)
        self._threads[key].start()

    def of(self, *kinds: str) -> list[tuple[str, str, Any]]:
        """Return both names and the answer of each question of some kinds, in order: None, if none came in time."""
        for key, thread in self._threads.items():
            if key[0] in kinds:
                thread.join(max(0.0, self._end - time.monotonic()))
        return [(*key[1:], self._found.get(key)) for key in sorted(self._threads) if key[0] in kinds]


def port_error(address: str, port: int, patience: float) -> str:
    """Return why a port does not answer; nothing if it does."""
    try:
        socket.create_connection((address, port), timeout=patience).close()
    except ConnectionResetError:
        # Who is not among the clients of a load balancer is let in and put out again, at times before this is seen.
        return ""
    except OSError as error:
        return clean(error.strerror or error)
    return ""


def url_error(url: str, authority: str, patience: float) -> str:
    """Return why a URL of this host does not answer with success; nothing if it does."""
    try:
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority or None))
        # Whatever proxy the host has: this is the host itself.
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), tls).open(url, timeout=patience):
            return ""
    except (OSError, ValueError) as error:
        return clean(getattr(error, "reason", "") or error)


def _timed(function: Callable[..., str], *arguments: Any) -> tuple[float | None, str]:
    began = time.monotonic()
    error = function(*arguments)
    return (None, error) if error else (round(time.monotonic() - began, 3), "")


def servers_of(table: str) -> list[Server]:
    """Return the servers in the answer of HAProxy to `show stat`. Raises AnswerError for another one."""
    keys = ("pxname", "svname", "status", "check_status")
    try:
        rows = list(csv.DictReader(io.StringIO(table.lstrip("# "), newline="")))
    except csv.Error:
        rows = []
    if not rows or not set(keys) <= {*rows[0]}:
        raise AnswerError("the answer is no table of servers")
    found = [[clean(row[key]) for key in keys] for row in rows if all(row.get(key) is not None for key in keys)]
    return [Server(*row) for row in found if row[1] not in ("", "FRONTEND", "BACKEND")][:_ITEMS]


def _balancer(path: str, patience: float) -> str:
    """Return what HAProxy says of its servers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(patience)
        client.connect(path)
        client.sendall(b"show stat -1 4 -1\n")
        said = b""
        while len(said) < _BYTES and (more := client.recv(65536)):
            said += more
    return said.decode(errors="replace")


def _drained(path: str) -> Drained | None:
    """Return since when and why a host is drained; None if it is not. Raises PermissionError where that is root's."""
    try:
        content = _content(path)
    except FileNotFoundError:
        return None
    try:
        words = json.loads(content)
        return Drained(*(clean(words.get(key) or "") for key in ("since", "reason")))
    except (AttributeError, ValueError):
        return Drained("", "")


def _is_synchronized(units: Iterable[Mapping[str, str]], patience: float) -> bool | None:
    """Return whether the kernel's clock is kept; None where no chrony is installed, as in a container."""
    chrony = [seen for seen in units if seen["Id"] == "chrony.service"]
    if not chrony or chrony[0]["ActiveState"] != "active":
        return False if chrony else None
    argv = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        result = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=patience)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() == "yes"


def _ask(record: Record, patience: float) -> _Answers:
    """Ask everybody who may let us wait."""
    answers = _Answers(patience)
    for path, kind in mounted(_said("/proc/self/mounts")).items():
        if _SIZED.fullmatch(kind) and not _NOT_SIZED.match(path):
            answers.ask(("disk", path, ""), _space, path)
    for part in record.parts:
        for service, port in part.ports.items():
            answers.ask(("port", part.name, f"{service} {port}"), _timed, port_error, part.address, port, patience)
        if part.url:
            answers.ask(("url", part.name, part.url), _timed, url_error, part.url, record.authority, patience)
        if part.socket:
            answers.ask(("servers", part.name, part.socket), _balancer, part.socket, patience)
    return answers


def _disks(answers: _Answers) -> tuple[Disk, ...]:
    """Return each file system once, by its shortest mount point."""
    found: dict[int, Disk] = {}
    for _, _, said in answers.of("disk"):
        if isinstance(said, tuple):
            found.setdefault(*said)
    return tuple(found.values())


def _mounts(answers: _Answers, units: Iterable[Mapping[str, str]]) -> tuple[Mount, ...]:
    there = mounted(_said("/proc/self/mounts"))
    missing = [path for path in expected_mounts(_said("/etc/fstab")) if path not in there]
    missing += [seen["Where"] for seen in units if seen["Id"].endswith(".mount") and seen["ActiveState"] == "failed"]
    silent = [path for path, _, said in answers.of("disk") if said is None]
    return (*(Mount(path, "missing") for path in dict.fromkeys(missing)), *(Mount(path, "silent") for path in silent))


def _servers(answers: _Answers, hidden: list[str]) -> tuple[list[Server], list[Answer]]:
    """Return the servers behind HAProxy, and what it has answered in their place."""
    servers, failed = list[Server](), list[Answer]()
    for part, path, said in answers.of("servers"):
        if isinstance(said, PermissionError):
            hidden.append(f"the servers of {part}")
            continue
        try:
            servers += servers_of(said if isinstance(said, str) else "")
        except AnswerError as error:
            failed.append(Answer(part, path, None, clean(said) if isinstance(said, OSError) else str(error)))
    return servers, failed


def _certificates(record: Record, hidden: list[str]) -> Iterator[Certificate]:
    for part, name, pattern in certificate_files(record):
        try:
            yield _certificate(part, name, pattern)
        except PermissionError:
            hidden.append(f"the certificate of {name}")


def gather(record: Record, patience: float) -> Facts:
    """Return what this host says of itself, within about that many seconds. Raises AnswerError without systemd."""
    answers = _ask(record, patience)
    names = [*record.known_units, *(name for part in record.parts for name in part.units)]
    units = _systemctl([*names, "chrony.service", "*.mount"])
    services = [seen for seen in units if seen["Id"].endswith(".service") and seen["Id"] != "chrony.service"]
    hidden, drained = list[str](), None
    try:
        drained = _drained(record.drained_file)
    except PermissionError:
        hidden.append("whether the host is drained")
    servers, failed = _servers(answers, hidden)
    late = (None, f"no answer within {patience:g} s")
    link = Path(record.install_directory, "current")
    return Facts(
        now=round(time.time(), 1),
        current=link.resolve().name if link.exists() else "",
        units=tuple(_unit(seen, record.install_directory) for seen in services),
        certificates=tuple(_certificates(record, hidden)),
        disks=_disks(answers),
        mounts=_mounts(answers, units),
        answers=(*(Answer(part, what, *(said or late)) for part, what, said in answers.of("port", "url")), *failed),
        servers=tuple(servers),
        drained=drained,
        synchronized=_is_synchronized(units, patience),
        hidden=tuple(hidden),
    )


# What is wrong with it

_STATES = {
    "active": "active",
    "activating": "starting",
    "deactivating": "stopping",
    "failed": "failed",
    "inactive": "stopped",
    "reloading": "active",
}


def paired(record: Record, facts: Facts) -> list[tuple[Part | None, Unit | None]]:
    """Return each part with its unit, one that is not there without; at last the units that run and are no part's."""
    left = {unit.unit: unit for unit in facts.units if unit.unit not in record.elastic_units}
    found = list[tuple["Part | None", "Unit | None"]]()
    for part in record.parts:
        units = [unit for name, unit in left.items() if any(fnmatch.fnmatchcase(name, one) for one in part.units)]
        # Of both engines of a broker, the one that is on.
        running = [unit for unit in units if unit.active != "inactive"] or units[:1]
        found += [(part, unit) for unit in running] or [(part, None)]
        for unit in units:
            del left[unit.unit]
    return found + [(None, unit) for unit in left.values() if unit.active != "inactive"]


def name_of(part: Part | None, unit: Unit | None) -> str:
    """Return the name of a part; of a unit that is no part's, what its file is called after."""
    if part:
        return part.name
    return re.sub(r"^airflow-|\.service$", "", unit.unit) if unit else ""


def unanswered(part: Part, facts: Facts) -> list[Answer]:
    """Return what of a part does not answer, its URL first: that says more."""
    failed = [one for one in facts.answers if one.part == part.name and one.seconds is None]
    return sorted(failed, key=lambda one: "://" not in one.what)


def state_of(part: Part | None, unit: Unit | None, facts: Facts) -> str:
    """Return the state of a part in one word: that of systemd, or of what is outside, whether it answers."""
    if part and not part.units:
        return "silent" if unanswered(part, facts) else "active"
    if unit is None:
        return "missing"
    if unit.active == "activating" and unit.sub.startswith("auto-restart"):
        return "restarting"
    return _STATES.get(unit.active, unit.active)


def has_settled(unit: Unit | None) -> bool:
    """Tell whether a unit has been active for so long that it has to answer."""
    return unit is not None and unit.active in ("active", "reloading") and (unit.age or 0) > FIRST_SIGN


def moment(seconds: float) -> str:
    """Return seconds of the epoch as 2027-01-31T12:00:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _of_host(record: Record, facts: Facts) -> Iterator[Finding]:
    for disk in facts.disks:
        code = "disk-full" if disk.free < DISK_FULL else "disk-low" if disk.free < DISK_LOW else ""
        if code:
            yield Finding(code, record.host, f"{disk.free:g} % of {disk.path} is free", {"path": disk.path})
    for mount in facts.mounts:
        what = "is not mounted" if mount.state == "missing" else "does not answer"
        yield Finding("mount-missing", record.host, f"{mount.path} {what}", {"path": mount.path})
    if facts.synchronized is False:
        yield Finding("clock-unsynchronized", record.host, "nobody keeps the clock")
    if facts.drained:
        since, reason = facts.drained.since or "a time not noted", facts.drained.reason or "no reason noted"
        yield Finding("host-drained", record.host, f"drained since {since}: {reason}")


def days_left(ends: float, now: float) -> int:
    """Return the whole days until a certificate's end; below 0 if it has ended."""
    return int((ends - now) // 86400)


def _of_certificates(record: Record, facts: Facts) -> Iterator[Finding]:
    for certificate in facts.certificates:
        what, names = f"the certificate of {certificate.name}", {"certificate": certificate.name}
        if certificate.ends is None:
            yield Finding("certificate-missing", record.host, f"{what} is not there, or none", names)
        elif certificate.ends < facts.now:
            yield Finding("certificate-ended", record.host, f"{what} ended on {moment(certificate.ends)[:10]}", names)
        elif days_left(certificate.ends, facts.now) < record.renew_days:
            left = days_left(certificate.ends, facts.now)
            yield Finding("certificate-ends", record.host, f"{what} ends in {left} days", names)


def _of_part(record: Record, facts: Facts, part: Part, unit: Unit | None) -> Iterator[Finding]:
    """Yield what keeps a part from its work, the first cause alone."""
    names = {"unit": unit.unit if unit else ""}
    state, failed = state_of(part, unit, facts), unanswered(part, facts)[:1]
    if not part.units:
        for one in failed:
            names = {"address": part.address, "port": one.what.rpartition(" ")[2]}
            yield Finding(
                "outside-silent", record.host, f"{one.what} at {part.address} does not answer: {one.error}", names
            )
    elif unit is None:
        yield Finding("component-missing", record.host, f"{part.name} is not installed", names)
    elif state not in ("active", "starting", "stopping"):
        why = "" if unit.result in ("", "success") else f" ({unit.result})"
        since = f" since {moment(unit.since).replace('T', ' ').replace('Z', ' UTC')}" if unit.since else ""
        # Who drained the host stopped it.
        if state != "stopped" or not facts.drained:
            yield Finding("component-down", record.host, f"{part.name} is {state}{why}{since}", names)
    elif has_settled(unit):
        for one in failed:
            code = "component-silent" if "://" in one.what else "port-closed"
            text = f"{part.name} is active, but {one.what} does not answer: {one.error}"
            yield Finding(code, record.host, text, names)


def note_of(unit: Unit | None, current: str) -> str:
    """Return that a unit's process runs another release than the one that is installed; or how it ended."""
    if unit and unit.release and current and unit.release != current:
        return f"runs {unit.release}, and {current} is installed"
    return "" if unit is None or unit.result in ("", "success") else unit.result


def _of_unit(record: Record, facts: Facts, part: Part | None, unit: Unit) -> Iterator[Finding]:
    """Yield what else is odd about a unit."""
    name, names = name_of(part, unit), {"unit": unit.unit}
    if part is None:
        yield Finding("component-unplaced", record.host, f"{name} ({unit.unit}) runs, and is not placed here", names)
        return
    if state_of(part, unit, facts) == "active" and unit.restarts >= RESTARTS and (unit.age or 0) < RESTARTS_WITHIN:
        text = f"{name} was restarted {unit.restarts} times, at last {unit.age:.0f} s ago"
        yield Finding("component-restarting", record.host, text, names)
    if unit.enabled.startswith(("disabled", "masked")) and not facts.drained:
        yield Finding(
            "component-disabled", record.host, f"{name} is {unit.enabled}: it does not start with its host", names
        )
    note = note_of(unit, facts.current)
    if note.startswith("runs "):
        yield Finding("component-outdated", record.host, f"{name} {note}", names)


def _of_servers(record: Record, facts: Facts) -> Iterator[Finding]:
    """Yield what HAProxy does not use, each server once for all its backends."""
    by_server: dict[tuple[str, str], list[Server]] = {}
    for server in facts.servers:
        code = "server-drained" if server.status.startswith(("DRAIN", "MAINT")) else "server-down"
        if not server.status.startswith(("UP", "no check")):
            by_server.setdefault((code, server.server), []).append(server)
    for (code, name), found in by_server.items():
        backends = ", ".join(server.backend for server in found)
        why = f"{found[0].status} {found[0].check}".strip()
        yield Finding(code, record.host, f"no requests to {name} ({backends}): {why}", {"server": name})


def findings(record: Record, facts: Facts) -> list[Finding]:
    """Return what is wrong with a host as far as it can know, the worst first, and of those the cause."""
    found = [*_of_host(record, facts), *_of_certificates(record, facts), *_of_servers(record, facts)]
    for order, (part, unit) in enumerate(paired(record, facts)):
        mine = [
            *(_of_part(record, facts, part, unit) if part else ()),
            *(_of_unit(record, facts, part, unit) if unit else ()),
        ]
        found += [dataclasses.replace(finding, order=order) for finding in mine]
    return sorted(found, key=lambda finding: finding.rank)


def unmuted(found: Iterable[Finding], muted: Mapping[str, float], now: float) -> list[Finding]:
    """Return the findings that are shown now."""
    return [one for one in found if now >= muted.get(one.code, 0)]


def level_of(found: Iterable[Finding]) -> str:
    """Return the worst level of findings in one word."""
    return max((finding.level for finding in found), key=LEVELS.index, default=OK)


# The command


def lines(host: str, found: list[Finding], hidden: Iterable[str] = ()) -> Iterator[str]:
    """Yield what the command prints."""
    yield f"{level_of(found)} {host}: {len(found)} finding{'' if len(found) == 1 else 's'}"
    for finding in found:
        yield f"{finding.level} {finding.code}: {finding.text}"
        yield f"  {'' if KINDS[finding.code].at == HOST else 'on the controller: '}{finding.command}"
    if unseen := ", ".join(hidden):
        yield f"(Root sees more: {unseen}.)"


# systemd's own for what is not known, org.freedesktop.systemd1(5).
_UNKNOWN = 2**64 - 1


def _sample(name: str, value: float, **labels: str) -> str:
    """Return a sample in Prometheus' text format, exposition_formats.md."""
    quoted = (text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for text in labels.values())
    pairs = ",".join(f'{key}="{text}"' for key, text in zip(labels, quoted, strict=True))
    return f"airstrip_{name}{{{pairs}}} {value:.15g}" if pairs else f"airstrip_{name} {value:.15g}"


def used(text: str) -> Iterator[str]:
    """Yield what units have used as metrics, from what `systemctl show` prints: what systemd does not know, not.

    An exporter that reads /proc does not see what short processes have used that ended between two of its looks.
    """
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.split("\n\n")]
    for name, key, scale in (("cpu_seconds_total", "CPUUsageNSec", 1e-9), ("memory_bytes", "MemoryCurrent", 1.0)):
        yield f"# TYPE airstrip_unit_{name} {'counter' if name.endswith('_total') else 'gauge'}"
        for seen in blocks:
            if seen.get("Id") and seen.get(key, "").isdecimal() and int(seen[key]) < _UNKNOWN:
                yield _sample(f"unit_{name}", int(seen[key]) * scale, groupname=seen["Id"])


def _usage(facts: Facts) -> Iterator[str]:
    """Yield what the units of a host have used; nothing, if systemd does not answer."""
    names = [unit.unit for unit in facts.units if unit.unit.endswith(".service")]
    if names:
        with suppress(AnswerError):
            yield from used(_answer(["systemctl", "show", "--property=Id,CPUUsageNSec,MemoryCurrent", "--", *names]))


def samples(facts: Facts | None, found: Iterable[Finding], now: float) -> Iterator[str]:
    """Yield what is found as metrics: each finding once by its code and what it is about."""
    yield "# TYPE airstrip_finding gauge"
    about = {(one.code, one.level, next(iter(one.names.values()), "")) for one in found}
    yield from (_sample("finding", 1, code=code, level=level, component=name) for code, level, name in sorted(about))
    yield "# TYPE airstrip_status_timestamp_seconds gauge"
    yield _sample("status_timestamp_seconds", now)
    if facts is None:
        return
    yield "# TYPE airstrip_host_drained gauge"
    yield _sample("host_drained", facts.drained is not None)
    yield "# TYPE airstrip_certificate_expires_timestamp_seconds gauge"
    for certificate in facts.certificates:
        if certificate.ends is not None:
            labels = {"component": certificate.part, "path": certificate.name}
            yield _sample("certificate_expires_timestamp_seconds", certificate.ends, **labels)


def main(arguments: list[str]) -> int:
    """Print how this host is. Return 0 for OK, 1 for WARN, 2 for ERROR, 3 for wrong arguments."""
    file = Path(arguments[1]) if len(arguments) == 2 and arguments[0] == "--prometheus" else None
    if arguments not in ([], ["--json"]) and file is None:
        sys.stdout.write(f"{(__doc__ or '').strip()}\n")
        return 3
    host, facts = socket.gethostname(), None
    try:
        record = read(Record, json.loads(_content(RECORD)), RECORD)
        host, facts = record.host, gather(record, PATIENCE)
        found = unmuted(findings(record, facts), record.muted, time.time())
    except (OSError, ValueError) as error:
        found = [Finding("host-unseen", host, clean(error))]
    if file:
        # Renamed when it is whole: the exporter never reads a part of it.
        new = file.with_name(f"{file.name}.new")
        told = [*samples(facts, found, time.time()), *(_usage(facts) if facts else ())]
        new.write_text("".join(f"{line}\n" for line in told), encoding="utf-8")
        new.replace(file)
        return 0
    if arguments:
        rows = [{"level": one.level, "code": one.code, "text": one.text, "command": one.command} for one in found]
        seen = dataclasses.asdict(facts) if facts else None
        text = json.dumps({"host": host, "level": level_of(found), "findings": rows, "facts": seen})
    else:
        text = "\n".join(lines(host, found, facts.hidden if facts else ()))
    sys.stdout.write(f"{text}\n")
    return LEVELS.index(level_of(found))


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    # Not by the end of all threads: one may wait for a dead file system.
    os._exit(status)
