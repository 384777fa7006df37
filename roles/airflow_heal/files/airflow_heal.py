#!/usr/bin/python3 -I
"""
Name components of Airflow that hang on this host though systemd calls them active, and restart them within bounds.

airstrip-airflow-heal.service runs it as root. Each look compares what the kernel, systemd, the API server and the
metadata database say with what a component that works would show. What hangs is named in the journal and as a metric.
It is restarted a few times in an hour at most; tasks that run are never ended for it. `decide` has all the rules.

What it reads, others may have written: names of processes, host names, rows of the database. They are compared, counted
and cut, and never become part of a command. It needs Python 3.11 and psycopg2. Its one argument is a file of settings
(JSON, see Settings).
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import fnmatch
import hmac
import json
import math
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors

# The jobs by which components beat in the metadata database.
JOBS = {"scheduler": "SchedulerJob", "dag_processor": "DagProcessorJob", "triggerer": "TriggererJob"}
COMPONENTS = ("api_server", "worker", *JOBS)
# What Airflow calls the process of a task. That of its supervisor keeps its name when the task has ended.
_TASK, _SUPERVISOR = re.compile(r"airflow worker -- "), re.compile(r"airflow supervisor: ")
# How each command of Ansible's on a host ends.
_ANSIBLE = re.compile(r"&& sleep 0'?\s*$")
_RECEIVED = re.compile(r"\blastrcv:(\d+)")
_PROPERTIES = "Id,ActiveState,MainPID,ActiveEnterTimestampMonotonic,ExecStart"
_BYTES = 1 << 20
_SHOWN, _CLEAN = 75.0, 600.0
_STATEMENTS = {
    "jobs": "SELECT * FROM airstrip.jobs()",
    "canary": "SELECT * FROM airstrip.canary()",
    "canary_logs": "SELECT * FROM airstrip.canary_logs()",
    "life": "SELECT * FROM airstrip.life()",
    "task_states": "SELECT * FROM airstrip.task_states()",
}
_NEVER = math.inf


# What is seen


@dataclass(frozen=True)
class Seen:
    """A unit of a component, as one look sees it.

    state      as systemd calls it
    main       number of its main process
    age        seconds since it became active
    stopped    whether a process of Airflow's own in it is stopped by a signal
    tasks      processes of tasks in it
    answers    whether its URL answers in time; null if it has none
    beat       seconds since its last heartbeat; null if it is not known to the database
    received   seconds since its main process last got something from the broker; null if that is not seen
    waits      seconds for which a task waits in a queue of it
    reads      whether it gives the canary's last log; null if it is not asked
    """

    unit: str
    component: str
    state: str
    main: int
    age: float
    stopped: bool = False
    tasks: int = 0
    answers: bool | None = None
    beat: float | None = None
    received: float | None = None
    waits: float = 0.0
    reads: bool | None = None


@dataclass(frozen=True)
class Around:
    """What concerns all units of the host.

    database   whether the metadata database answers
    broker     whether the broker accepts connections; true where there is none
    lock       seconds for which somebody waits for a lock in the database; infinite if the heartbeats are behind one
    beats      seconds since the last heartbeat of each living job of the site
    parsed     seconds since any DAG file was parsed; null if none was
    trigger    seconds for which a trigger of the canary that is due is with the triggerer of this host
    busy       why nothing may be done now: a playbook works here, the host is drained; nothing if something may
    """

    database: bool = True
    broker: bool = True
    lock: float = 0.0
    beats: tuple[float, ...] = ()
    parsed: float | None = None
    trigger: float = 0.0
    busy: str = ""


@dataclass(frozen=True)
class Limits:
    """Seconds after which something counts as a hang, and bounds of what is done about it."""

    stopped: float = 20
    answer: float = 45
    beat: float = 45
    trigger: float = 60
    parse: float = 120
    received: float = 45
    waits: float = 60
    reads: float = 45
    lock: float = 20
    grace: float = 120
    patience: float = 45
    restarts: int = 3
    within: float = 3600


@dataclass
class Memory:
    """What is kept of a unit from one look to the next; by the clock that stands still at no time.

    main      process to which all of it refers but `heals`
    since     when it was first seen to hang, by reason
    beaten    whether it has beaten
    ended     when it was told to end
    heals     when it was healed
    """

    main: int = 0
    since: dict[str, float] = field(default_factory=dict)
    beaten: bool = False
    ended: float = 0.0
    heals: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """What hangs and why; the action (continue, restart, warm, kill, or none) and, of none, why."""

    unit: str
    reason: str
    action: str = ""
    held: str = ""


# The rules


def reasons(seen: Seen, around: Around, limits: Limits, beaten: bool) -> dict[str, float]:
    """Return what speaks for a hang of a unit, and for how many seconds it has to in all looks."""
    found: dict[str, float] = {}
    if seen.stopped:
        found["stopped"] = limits.stopped
    if seen.answers is False:
        found["no-answer"] = limits.answer
    if seen.reads is False:
        found["serves-no-log"] = limits.reads
    if seen.component in JOBS:
        found |= _reasons_of_job(seen, around, limits, beaten)
    if seen.component == "worker" and around.broker:
        if seen.received is not None and seen.received > limits.received:
            found["broker-silent"] = 10
        elif seen.waits > limits.waits and not seen.tasks:
            found["takes-no-task"] = limits.waits / 2
    return found


def _reasons_of_job(seen: Seen, around: Around, limits: Limits, beaten: bool) -> dict[str, float]:
    if not around.database:
        # Heartbeats may be behind a lock as well.
        return {"no-heartbeat": limits.beat} if around.lock > limits.lock else {}
    # Who was declared dead has no row any more.
    beat = _NEVER if seen.beat is None and beaten else seen.beat or 0.0
    if beat > limits.beat:
        return {"no-heartbeat": 10}
    if seen.component == "dag_processor" and around.parsed is not None and around.parsed > limits.parse:
        return {"parses-nothing": 10}
    if seen.component == "triggerer" and around.trigger > limits.trigger:
        return {"runs-no-trigger": 10}
    return {}


def common(around: Around, limits: Limits) -> str:
    """Return what all units have in common that explains why jobs do not beat; nothing if there is no such cause."""
    if around.lock > limits.lock:
        return "somebody waits for a lock in the database"
    if len(around.beats) > 1 and all(beat > limits.beat for beat in around.beats):
        return "no component of the site beats"
    return ""


def held(reason: str, around: Around, memory: Memory, clock: tuple[float, Limits]) -> str:
    """Return why a unit that hangs is left alone; nothing if it is not."""
    now, limits = clock
    if around.busy:
        return around.busy
    if reason in ("no-heartbeat", "parses-nothing", "runs-no-trigger") and (why := common(around, limits)):
        return why
    if len([moment for moment in memory.heals if now - moment < limits.within]) >= limits.restarts:
        return f"it was healed {limits.restarts} times within {limits.within / 60:.0f} minutes"
    if memory.heals and not memory.ended and now - memory.heals[-1] < limits.patience:
        return "it was healed just now"
    return ""


def action(seen: Seen, reason: str, memory: Memory, clock: tuple[float, Limits]) -> tuple[str, str]:
    """Return what is done about a unit that hangs, or why nothing is."""
    now, limits = clock
    if memory.ended:
        # A second signal would end its tasks.
        if seen.tasks:
            return "", "it ends when its tasks have ended"
        return ("kill", "") if now - memory.ended > limits.patience else ("", "it was told to end")
    # For the sake of logs no slots are closed.
    if reason == "serves-no-log" and seen.tasks:
        return "", "it runs tasks"
    # Its tasks go on, and nothing has to start anew.
    if reason == "stopped" and (seen.component == "worker" or seen.tasks):
        return "continue", ""
    return ("warm" if seen.component == "worker" or seen.tasks else "restart"), ""


def decide(
    units: Sequence[Seen], around: Around, memories: dict[str, Memory], clock: tuple[float, Limits]
) -> list[Verdict]:
    """Return what hangs and what is done about it; keep in the memories what the next look needs."""
    now, limits = clock
    found = []
    for seen in units:
        memory = memories.setdefault(seen.unit, Memory())
        if memory.main != seen.main:
            memories[seen.unit] = memory = Memory(main=seen.main, heals=memory.heals)
        memory.heals = [moment for moment in memory.heals if now - moment < limits.within]
        memory.beaten = memory.beaten or seen.beat is not None
        # What ends though it was told to begin anew has hung before; all else that is not active is somebody's work.
        ending = memory.ended and seen.state == "deactivating"
        if (seen.state != "active" and not ending) or (seen.age < limits.grace and not memory.ended):
            memory.since = {}
            continue
        speaking = reasons(seen, around, limits, memory.beaten)
        memory.since = {reason: memory.since.get(reason, now) for reason in speaking}
        lasting = [reason for reason, since in memory.since.items() if now - since >= speaking[reason]]
        if ending or (memory.ended and not lasting):
            lasting = lasting or ["does-not-end"]
        for reason in lasting[:1]:
            why = held(reason, around, memory, clock) if not memory.ended else around.busy
            does, left = ("", why) if why else action(seen, reason, memory, clock)
            found.append(Verdict(seen.unit, reason, does, left))
            if does:
                _note(memory, does, now)
    for gone in set(memories) - {seen.unit for seen in units}:
        if not [moment for moment in memories[gone].heals if now - moment < limits.within]:
            del memories[gone]
    return found


def _note(memory: Memory, does: str, now: float) -> None:
    if does in ("warm", "restart"):
        memory.ended = now
    elif does == "kill":
        memory.ended = now
        # It belongs to what was counted when it was told to end.
        return
    memory.heals.append(now)


# The kernel and systemd


def said(path: str | Path) -> str:
    """Return what is in a file, to a limit; nothing if it is gone."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_BYTES).decode(errors="replace")
    except OSError:
        return ""


def state_of(process: int) -> str:
    """Return the kernel's letter for what a process does: T if a signal has stopped it."""
    # The name, in parentheses, may have any characters in it.
    return (said(f"/proc/{process}/stat").rpartition(")")[2].split() or [""])[0]


def title(process: int) -> str:
    """Return the command line of a process, or what it calls itself."""
    return said(f"/proc/{process}/cmdline").replace("\0", " ").strip()


def parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            fields_after = said(path / "stat").rpartition(")")[2].split()
            if len(fields_after) > 1:
                found[int(path.name)] = int(fields_after[1])
    return found


def below(main: int, tree: Mapping[int, int]) -> Iterator[int]:
    """Yield the processes below one."""
    children: dict[int, list[int]] = {}
    for process, parent in tree.items():
        children.setdefault(parent, []).append(process)
    left = list(children.get(main, []))
    while left:
        process = left.pop()
        yield process
        left += children.get(process, [])


def is_stopped(component: str, main: int, tree: Mapping[int, int]) -> bool:
    """Return whether a process of a component's own is stopped; what runs others' code may stop itself."""
    own = [main]
    if component == "api_server":
        own += below(main, tree)
    elif component == "triggerer":
        own += [process for process, parent in tree.items() if parent == main]
    return any(state_of(process) == "T" for process in own)


def running_tasks(main: int, tree: Mapping[int, int]) -> int:
    """Return how many processes of tasks run below one."""
    found = {process: title(process) for process in below(main, tree)}
    working = {tree[process] for process in found if process in tree}
    return len(
        [
            process
            for process, name in found.items()
            if _TASK.match(name) or (_SUPERVISOR.match(name) and process in working)
        ]
    )


def playbook_works(tree: Iterable[int]) -> bool:
    """Return whether root runs a command of Ansible's here. Others' do not count: they would keep it from healing."""
    for process in tree:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}").stat().st_uid == 0 and _ANSIBLE.search(title(process)):
                return True
    return False


def received(table: str, main: int, port: int) -> float | None:
    """Return the seconds since a process last got something from a port, from `ss -tinpH`; None without connection."""
    rows = table.splitlines()
    found = []
    for row, more in pairwise(rows):
        columns = row.split()
        if len(columns) < 4 or not columns[3].endswith(f":{port}") or not re.search(rf",pid={main},fd=\d", row):
            continue
        if match := _RECEIVED.search(more):
            found.append(int(match[1]) / 1000)
    return min(found, default=None)


def unit_of(cgroup: str) -> str:
    """Return the service to which a process belongs, from its /proc/PID/cgroup."""
    match = re.search(r"/([^/\s]+\.service)\s*$", cgroup)
    return match[1] if match else ""


def listener(table: str) -> int:
    """Return the process that listens, from `ss -tlnpH` of one port; 0 if there is none."""
    match = re.search(r",pid=(\d+),fd=", table)
    return int(match[1]) if match else 0


def queues(start: str) -> tuple[str, ...]:
    """Return the queues of a worker, from what its unit starts."""
    match = re.search(r" --queues (\S+)", start)
    return tuple(match[1].split(",")) if match else ()


def command(*argv: str) -> str:
    """Return what a command prints. Raises OSError and subprocess.SubprocessError."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20, env=environment).stdout


def shown(text: str) -> list[dict[str, str]]:
    """Return the properties of each unit, from what `systemctl show` prints."""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.split("\n\n")]
    return [block for block in blocks if block.get("Id")]


def signal_main(main: int, unit: str, number: signal.Signals) -> None:
    """Send a signal to a unit's main process; not to another one that has its number by now."""
    descriptor = os.pidfd_open(main)
    try:
        if f"/{unit}" in said(f"/proc/{main}/cgroup"):
            signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


# Who else is asked


def answers(url: str, authority: str, patience: float) -> bool:
    """Return whether a URL of this host answers with success."""
    try:
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority or None))
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), tls).open(url, timeout=patience):
            return True
    except (OSError, ValueError):
        return False


def log_token(key: str, path: str, now: float) -> str:
    """Return what opens one log at the server of a host's logs: a JWT as API servers make it (HS512)."""
    claims = {"aud": "task-instance-logs", "filename": path, "iat": int(now), "nbf": int(now), "exp": int(now) + 60}
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"alg": "HS512", "typ": "JWT"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.digest(key.encode(), signed, "sha512")
    return b".".join([signed, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def reads_log(port: int, path: str, key: str, patience: float) -> bool:
    """Return whether this host's server of logs gives one."""
    url = f"http://127.0.0.1:{port}/log/{urllib.parse.quote(path, safe='/=:')}"
    request = urllib.request.Request(url, headers={"Authorization": log_token(key, path, time.time())})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=patience) as answer:
            return bool(answer.read(1))
    except (OSError, ValueError):
        return False


def accepts(address: str, port: int, patience: float) -> bool:
    """Return whether somebody accepts connections at a port."""
    try:
        socket.create_connection((address, port), timeout=patience).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Settings:
    """What the program is told."""

    host: str
    database: str
    user: str
    database_port: int = 5432
    sslmode: str = "verify-full"
    sslrootcert: str = ""
    broker_address: str = ""
    broker_port: int = 0
    record: str = "/etc/airstrip/status.json"
    configuration: str = "/etc/airflow/airflow.cfg"
    log_key: str = "/etc/airflow/credentials/api_secret_key"
    metrics: str = "/var/lib/airstrip/textfile/heal.prom"
    state: str = "/run/airstrip-airflow-heal/state.json"
    interval: float = 15
    canary_seconds: float = 60
    restarts: int = 3
    restart: bool = True

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Return what a file says. Raises OSError, ValueError and TypeError."""
        given = json.loads(path.read_text(encoding="utf-8"))
        if unknown := set(given) - {item.name for item in fields(cls)}:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        return cls(**given)


@dataclass(frozen=True)
class Canary:
    """A task of the canary, as the database has it: ages in seconds, and how many other tasks run on its queue."""

    task: str
    queue: str
    success_age: float | None
    seconds: float | None
    waits: float | None
    others: int


def canary_samples(canaries: Sequence[Canary], every: float) -> Iterator[str]:
    """Yield what the canary shows as metrics. It is busy if it waits while others run on its queue."""
    rows = list(canaries) or [Canary("", "", None, None, None, 0)]
    values: dict[str, list[tuple[Canary, float]]] = {"ok": [], "busy": [], "seconds": []}
    for one in rows:
        is_fine = one.success_age is not None and one.success_age < 3 * every + 60
        values["ok"].append((one, is_fine))
        values["busy"].append((one, not is_fine and one.waits is not None and one.others > 0))
        values["seconds"] += [(one, one.seconds)] if one.seconds is not None else []
    for name, found in values.items():
        yield f"# TYPE airstrip_canary_{name} gauge"
        for one, value in found:
            yield f'airstrip_canary_{name}{{task="{escape(one.task)}",queue="{escape(one.queue)}"}} {value:.6g}'


def escape(text: str) -> str:
    """Return a text as it stands between quotation marks in Prometheus' format."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Database:
    """The functions of airflow_metrics.sql, over one connection that is made anew when it has failed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Any = None
        self.is_locked = False

    def ask(self, function: str) -> list[tuple[Any, ...]] | None:
        """Return the rows of a function; None if the database does not answer."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                cursor.execute(_STATEMENTS[function])
                return list(cursor.fetchall())
        except psycopg2.errors.LockNotAvailable:
            self.is_locked = True
            return None
        except psycopg2.Error:
            with contextlib.suppress(psycopg2.Error, AttributeError):
                self._connection.close()
            self._connection = None
            return None

    def clean(self) -> None:
        """Let the canary's old runs go: the one thing that the login may change."""
        if self._connection is None:
            return
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("BEGIN READ WRITE; SELECT airstrip.clean_canary(); COMMIT")
        except psycopg2.Error:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> Any:
        own = self._settings
        password = Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), "password").read_text(encoding="utf-8").strip()
        options: dict[str, Any] = {"sslrootcert": own.sslrootcert} if own.sslrootcert else {}
        connection = psycopg2.connect(
            host=own.host, port=own.database_port, dbname=own.database, user=own.user, password=password,
            sslmode=own.sslmode, connect_timeout=3, application_name="airstrip-airflow-heal",
            options="-c statement_timeout=3000 -c lock_timeout=500", tcp_user_timeout=5000, **options,
        )  # fmt: skip
        connection.autocommit = True
        return connection


# A look


class Healer:
    """Looks, decides, acts and tells."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings)
        self._memories: dict[str, Memory] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._told: dict[str, Verdict] = {}
        self._shown: dict[tuple[str, str], tuple[float, Verdict]] = {}
        self._worked = -_NEVER
        self._cleaned = -_NEVER
        self._canary: list[str] = []
        self._record: dict[str, Any] = {}
        self._restore()

    def look(self) -> list[Verdict]:
        """Look once, and act. Raises OSError, ValueError and subprocess.SubprocessError."""
        self._record = json.loads(Path(self._settings.record).read_text(encoding="utf-8"))
        tree = parents()
        rows = self._rows()
        units = [*self._units(tree, rows)]
        limits = Limits(parse=self._parse_limit(), restarts=self._settings.restarts if self._settings.restart else 0)
        around = self._around(rows, tree, any(seen.component == "worker" for seen in units))
        self._watch(rows["canary"], any(seen.component == "scheduler" for seen in units))
        verdicts = decide(units, around, self._memories, (time.monotonic(), limits))
        for verdict in verdicts:
            self._act(verdict)
        self._tell(verdicts)
        self._keep()
        return verdicts

    def _rows(self) -> dict[str, list[tuple[Any, ...]] | None]:
        found: dict[str, list[tuple[Any, ...]] | None] = {}
        self._database.is_locked = False
        for function in _STATEMENTS:
            # Of one that is away, one question is enough; a lock on one table is none on the others.
            is_away = found.get("jobs", []) is None and not self._database.is_locked
            found[function] = None if is_away else self._database.ask(function)
        return found

    def _watch(self, rows: list[tuple[Any, ...]] | None, has_scheduler: bool) -> None:
        """Keep what the canary shows, and clean up after it: where a scheduler is, so that not each host tells."""
        self._canary = []
        if not has_scheduler or not self._settings.canary_seconds or rows is None:
            return
        self._canary = [*canary_samples([Canary(*row) for row in rows], self._settings.canary_seconds)]
        if time.monotonic() - self._cleaned > _CLEAN:
            self._cleaned = time.monotonic()
            self._database.clean()

    def _is_here(self, name: object) -> bool:
        return name in {self._record.get("host"), socket.gethostname(), socket.getfqdn()}

    def _units(self, tree: Mapping[int, int], rows: Mapping[str, list[tuple[Any, ...]] | None]) -> Iterator[Seen]:
        sockets, reads = "", self._reads(rows["canary_logs"])
        patterns = {
            pattern: part
            for part in self._record["parts"]
            if part["component"] in COMPONENTS
            for pattern in part["units"]
        }
        for unit in shown(command("systemctl", "show", f"--property={_PROPERTIES}", "--", "airflow-*.service")):
            part = next((part for name, part in patterns.items() if fnmatch.fnmatchcase(unit["Id"], name)), None)
            if part is None:
                continue
            component, main = part["component"], int(unit["MainPID"] or 0)
            active = unit["ActiveState"] == "active" and main > 0
            if component == "worker" and active and not sockets:
                sockets = command("ss", "-tinpH", "state", "established")
            yield Seen(
                unit=unit["Id"],
                component=component,
                state=unit["ActiveState"] if main else "inactive",
                main=main,
                age=time.monotonic() - int(unit["ActiveEnterTimestampMonotonic"] or 0) / 1e6,
                stopped=bool(main) and is_stopped(component, main, tree),
                tasks=running_tasks(main, tree) if main else 0,
                answers=answers(part["url"], self._record["authority"], 5) if active and part["url"] else None,
                beat=self._beat(rows["jobs"], component),
                received=self._received(sockets, main) if component == "worker" and active else None,
                waits=self._waits(rows["task_states"], queues(unit["ExecStart"])) if component == "worker" else 0.0,
                reads=reads.get(unit["Id"]),
            )

    def _reads(self, rows: list[tuple[Any, ...]] | None) -> dict[str, bool]:
        """Return, for the unit that serves this host's logs of tasks, whether it gives the canary's last one.

        Nothing, if there is no such log or nobody serves one: then no unit is to blame.
        """
        directory, port = self._logs()
        path = self._last_log(rows or [], Path(directory))
        serving = listener(command("ss", "-tlnpH", f"sport = :{port}")) if path else 0
        unit = unit_of(said(f"/proc/{serving}/cgroup")) if serving else ""
        return {unit: reads_log(port, path, said(self._settings.log_key).strip(), 5)} if unit else {}

    def _last_log(self, rows: Iterable[tuple[Any, ...]], directory: Path) -> str:
        """Return the canary's last log of this host, below a directory; nothing if it is old, or kept elsewhere."""
        limit = 3 * self._settings.canary_seconds + 60
        logs = {str(row[1]): float(row[2]) for row in rows if self._is_here(row[0]) and float(row[2]) < limit}
        path = min(logs, key=lambda name: logs[name], default="")
        return path if path and (directory / path).is_file() else ""

    def _received(self, sockets: str, main: int) -> float | None:
        """Return the seconds since a worker got something of the broker: without a connection, for ever."""
        if not self._settings.broker_port:
            return None
        found = received(sockets, main, self._settings.broker_port)
        return _NEVER if found is None else found

    def _beat(self, rows: list[tuple[Any, ...]] | None, component: str) -> float | None:
        ages = [row[2] for row in rows or [] if row[0] == JOBS.get(component) and self._is_here(row[1])]
        return min((float(age) for age in ages if age is not None), default=None)

    @staticmethod
    def _waits(rows: list[tuple[Any, ...]] | None, names: tuple[str, ...]) -> float:
        return max((float(row[6] or 0) for row in rows or [] if row[0] == "queued" and row[1] in names), default=0.0)

    def _around(
        self, rows: Mapping[str, list[tuple[Any, ...]] | None], tree: Iterable[int], has_worker: bool
    ) -> Around:
        life = rows["life"] or []
        parsed = [float(row[2]) for row in life if row[0] == "parsed" and row[2] is not None]
        return Around(
            database=rows["jobs"] is not None,
            # Who has no worker need not get there.
            broker=not has_worker
            or not self._settings.broker_port
            or accepts(self._settings.broker_address, self._settings.broker_port, 3),
            lock=_NEVER
            if rows["jobs"] is None and self._database.is_locked
            else max((float(row[2] or 0) for row in life if row[0] == "lock"), default=0.0),
            beats=tuple(float(row[2]) for row in rows["jobs"] or [] if row[0] in JOBS.values() and row[2] is not None),
            parsed=min(parsed, default=None),
            trigger=max(
                (float(row[2] or 0) for row in life if row[0] == "trigger" and self._is_here(row[1])), default=0.0
            ),
            busy=self._busy(tree),
        )

    def _busy(self, tree: Iterable[int]) -> str:
        now = time.monotonic()
        if playbook_works(tree):
            self._worked = now
        if Path(self._record["drained_file"]).exists():
            return "the host is drained"
        # Between two of its commands it is not seen.
        return "a playbook works on the host" if now - self._worked < 60 else ""

    def _configuration(self) -> configparser.ConfigParser:
        """Return Airflow's configuration. Raises configparser.Error and OSError."""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(self._settings.configuration, encoding="utf-8")
        return parser

    def _parse_limit(self) -> float:
        """Return the seconds after which some DAG file must have been parsed again."""
        try:
            every = self._configuration().getint("dag_processor", "min_file_process_interval", fallback=30)
        except (configparser.Error, ValueError, OSError):
            return _NEVER
        return max(120.0, 3.0 * every)

    def _logs(self) -> tuple[str, int]:
        """Return the directory of logs and the port at which those of tasks are served; "/" and 0 if nobody knows."""
        try:
            logging = self._configuration()["logging"]
            return logging["base_log_folder"], int(logging["worker_log_server_port"])
        except (configparser.Error, ValueError, OSError, KeyError):
            return "/", 0

    def _act(self, verdict: Verdict) -> None:
        memory = self._memories[verdict.unit]
        try:
            if verdict.action in ("continue", "warm"):
                # A process that is stopped gets no other signal.
                signal_main(memory.main, verdict.unit, signal.SIGCONT)
            if verdict.action == "warm":
                signal_main(memory.main, verdict.unit, signal.SIGTERM)
            if verdict.action == "restart":
                command("systemctl", "restart", "--no-block", "--", verdict.unit)
            if verdict.action == "kill":
                command("systemctl", "kill", "--signal=SIGKILL", "--", verdict.unit)
        except (OSError, subprocess.SubprocessError) as error:
            log(f"{verdict.unit}: {verdict.action} failed: {error}")
        if verdict.action and verdict.action != "kill":
            key = verdict.unit, verdict.reason
            self._counts[key] = self._counts.get(key, 0) + 1

    def _tell(self, verdicts: Sequence[Verdict]) -> None:
        """Say what is new, and write the metrics."""
        now = {verdict.unit: verdict for verdict in verdicts}
        for unit, verdict in now.items():
            if self._told.get(unit) != verdict:
                does = f"does {verdict.action}" if verdict.action else f"left alone: {verdict.held}"
                log(f"{unit} hangs ({verdict.reason}); {does}")
        for unit in self._told.keys() - now.keys():
            log(f"{unit} hangs no more")
        self._told = now
        path = Path(self._settings.metrics)
        new = path.with_name(f"{path.name}.new")
        # What is healed at once is shown until two scrapes have seen it.
        moment = time.monotonic()
        self._shown |= {(one.unit, one.reason): (moment, one) for one in verdicts}
        self._shown = {key: seen for key, seen in self._shown.items() if moment - seen[0] < _SHOWN}
        shown_now = [one for _, one in self._shown.values()]
        recent = {unit: len(memory.heals) for unit, memory in self._memories.items()}
        told = [*samples(shown_now, self._counts, recent, time.time()), *self._canary]
        text = "".join(f"{line}\n" for line in told)
        new.write_text(text, encoding="utf-8")
        new.chmod(0o644)
        new.replace(path)

    def _keep(self) -> None:
        path = Path(self._settings.state)
        new = path.with_name(f"{path.name}.new")
        kept = {
            "memories": {unit: asdict(memory) for unit, memory in self._memories.items()},
            "counts": [[*key, count] for key, count in self._counts.items()],
        }
        new.write_text(json.dumps(kept), encoding="utf-8")
        new.replace(path)

    def _restore(self) -> None:
        """Read what was kept before this program was started anew: bounds hold all the same."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(Path(self._settings.state).read_text(encoding="utf-8"))
            self._memories = {unit: Memory(**memory) for unit, memory in kept["memories"].items()}
            self._counts = {(unit, reason): int(count) for unit, reason, count in kept["counts"]}


def samples(
    verdicts: Iterable[Verdict], counts: Mapping[tuple[str, str], int], recent: Mapping[str, int], now: float
) -> Iterator[str]:
    """Yield what is seen as metrics. Names are those of units on this host and of reasons above."""
    yield "# TYPE airstrip_hang gauge"
    for one in verdicts:
        yield f'airstrip_hang{{unit="{one.unit}",reason="{one.reason}",healing="{str(bool(one.action)).lower()}"}} 1'
    yield "# TYPE airstrip_heals_total counter"
    for (unit, reason), count in sorted(counts.items()):
        yield f'airstrip_heals_total{{unit="{unit}",reason="{reason}"}} {count}'
    # A counter that begins with 1 has not grown, for Prometheus.
    yield "# TYPE airstrip_heals_last_hour gauge"
    for unit, count in sorted(recent.items()):
        yield f'airstrip_heals_last_hour{{unit="{unit}"}} {count}'
    yield "# TYPE airstrip_heal_timestamp_seconds gauge"
    yield f"airstrip_heal_timestamp_seconds {now:.15g}"


def log(text: str) -> None:
    """Write a line for the journal."""
    sys.stderr.write("".join(letter if letter.isprintable() else " " for letter in text)[:500] + "\n")
    sys.stderr.flush()


def notify(text: str) -> None:
    """Tell systemd how it goes, sd_notify(3)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client, contextlib.suppress(OSError):
            client.sendto(text.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


def main(arguments: list[str]) -> int:
    """Look again and again."""
    settings = Settings.read(Path(arguments[0]))
    healer = Healer(settings)
    notify("READY=1")
    while True:
        began = time.monotonic()
        try:
            healer.look()
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            log(f"cannot look: {error}")
        # systemd starts it anew if a look does not end.
        notify("WATCHDOG=1")
        time.sleep(max(1.0, settings.interval - (time.monotonic() - began)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
