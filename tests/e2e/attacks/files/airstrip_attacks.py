"""What code of users may try on a site. Each attack returns whether it is `possible` or `refused`.

It lies among the plugins, so that tasks, DAG files and triggers can import it, and commands do with the DAG files.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import pickle
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import redis
import requests
from airflow.configuration import conf
from sqlalchemy.engine import make_url

POSSIBLE, REFUSED = "possible", "refused"
HOME = Path(os.environ["HOME"])
AIRFLOW_HOME = Path(os.environ["AIRFLOW_HOME"])
# What the scheduler would run, if it ever unpickled what a worker has written.
MARK = AIRFLOW_HOME / "scheduler" / "airstrip-attack"


def credentials() -> dict[str, str]:
    """Return what this process holds."""
    directory = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"))
    return {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*")}


def works(action: Callable[..., Any], *arguments: Any) -> bool:
    """Whether an action ends without an error."""
    try:
        action(*arguments)
    except Exception:
        return False
    return True


def any_of(tries: Iterable[bool]) -> str:
    """Say whether one of the tries has worked; all are made."""
    return POSSIBLE if any(list(tries)) else REFUSED


def login(url: str) -> str:
    """Make a login of the first user, signed with each of the keys at hand (Flask-Login's `remember_token`)."""

    def forged(key: str) -> bool:
        cookie = f"1|{hmac.new(key.encode(), b'1', hashlib.sha512).hexdigest()}"
        # Whatever certificate there is: it is the answer that counts.
        answer = requests.get(
            f"{url}/auth/login/",
            cookies={"remember_token": cookie},
            allow_redirects=False,
            verify=False,  # noqa: S501
            timeout=30,
        )
        return "_token" in answer.cookies

    return any_of(forged(key) for key in credentials().values())


def token() -> str:
    """Sign a token of the Execution API."""
    return POSSIBLE if "jwt_secret" in credentials() else REFUSED


def writable(path: Path) -> bool:
    """Whether a file can be made in a directory; it is removed again."""
    probe = path / f"airstrip-attack-{os.getpid()}"
    made = works(probe.touch)
    with suppress(OSError):
        probe.unlink()
    return made


def homes() -> str:
    """Write where another component reads: its home, its bundles, settings of all, DAG files, plugins, the release."""
    others = [path for path in AIRFLOW_HOME.glob("*") if path.is_dir() and path != HOME]
    common = [AIRFLOW_HOME, Path("/etc/airflow"), Path("/opt/airflow/current/bin"), Path("/srv/airflow/dags")]
    return any_of(
        writable(path)
        for path in [*others, *(path / "bundles" for path in others), *common, Path("/srv/airflow/plugins")]
    )


def replace_home() -> str:
    """Put a link in the place of the own home, for root to follow."""
    aside = HOME.with_name("airstrip-aside")
    moved = works(HOME.rename, aside)
    if moved:
        aside.rename(HOME)
    return POSSIBLE if moved else REFUSED


def log_link() -> str:
    """Make a link to a file in the log directory, for who reads logs to follow."""
    link = Path(conf.get("logging", "base_log_folder")) / f"airstrip-attack-{uuid.uuid4()}"
    link.symlink_to("/etc/hostname")
    followed = works(link.read_bytes)
    link.unlink()
    return POSSIBLE if followed else REFUSED


def foreign_processes() -> Iterator[Path]:
    """Yield the processes of the same user in other units."""
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            cgroup = (process / "cgroup").read_text(encoding="utf-8")
            if cgroup != own and "airflow-" in cgroup and process.stat().st_uid == os.getuid():
                yield process


def secrets_of_others() -> str:
    """Read the credentials or the environment of another component."""
    own = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"))
    files = [path for path in Path("/run/credentials").glob("*/*") if path.parent != own]
    files += [Path("/etc/airflow/credentials/database_url"), Path("/etc/shadow")]
    return any_of(works(path.read_bytes) for path in [*files, *(path / "environ" for path in foreign_processes())])


def signals() -> str:
    """Send a signal to another component of the host."""
    return any_of(works(os.kill, int(process.name), 0) for process in foreign_processes())


def postgresql(url: str, **other: str) -> Any:
    """Connect to PostgreSQL by a URL of SQLAlchemy, with parts of it replaced."""
    parts = make_url(url.removeprefix("db+"))
    arguments: dict[str, Any] = {
        "host": parts.host, "port": parts.port, "user": parts.username, "password": parts.password,
        "dbname": parts.database, "connect_timeout": 10, **parts.query, **other,
    }  # fmt: skip
    connection = psycopg2.connect(**arguments)
    connection.autocommit = True
    return connection


def metadata() -> str:
    """Connect to the metadata database."""
    held = credentials()
    if "results_url" in held:
        return any_of(
            works(lambda other: postgresql(held["results_url"], **other).close(), other)
            for other in ({"dbname": "airflow"}, {"dbname": "airflow", "user": "airflow"})
        )
    return POSSIBLE if "database_url" in held and works(postgresql, held["database_url"]) else REFUSED


def variables() -> str:
    """Read a variable of the site."""
    if {"database_url", "fernet_key"} <= set(credentials()):
        return POSSIBLE
    from airflow.sdk import Variable  # noqa: PLC0415 - tasks alone may ask the Execution API

    return POSSIBLE if works(Variable.get, "airstrip_attack") else REFUSED


# What would change how schedulers see results, keep them from it, or run with their rights.
STATEMENTS = (
    "ALTER TABLE celery_taskmeta ADD COLUMN attack text",
    "ALTER TABLE celery_taskmeta OWNER TO CURRENT_USER",
    "DROP TABLE celery_taskmeta CASCADE",
    "DELETE FROM celery_taskmeta",
    "TRUNCATE celery_taskmeta",
    "LOCK TABLE celery_taskmeta IN ACCESS EXCLUSIVE MODE",
    "UPDATE celery_taskmeta SET created = created",
    "CREATE TABLE attack (id integer)",
    "CREATE TEMPORARY TABLE celery_taskmeta (id integer)",
    "CREATE SCHEMA attack",
    "CREATE FUNCTION attack() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE TRIGGER attack BEFORE UPDATE ON celery_taskmeta FOR EACH ROW EXECUTE FUNCTION celery_taskmeta_expire()",
    "CREATE OR REPLACE VIEW scheduler.celery_taskmeta AS SELECT 1",
    "SELECT * FROM scheduler.celery_taskmeta",
    "SET ROLE postgres",
)


def results_table() -> str:
    """Change what schedulers see of results, beyond the rows' own content."""
    held = credentials()
    if "results_url" not in held:
        return REFUSED

    def attempt(statement: str) -> bool:
        connection = postgresql(held["results_url"])
        try:
            return works(connection.cursor().execute, statement)
        finally:
            connection.close()

    return any_of(attempt(statement) for statement in STATEMENTS)


class Payload:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {MARK}",)


def plant_results() -> int:
    """Make pickles and junk the results of all that runs, this task among it; return how many rows there were."""
    with postgresql(credentials()["results_url"]).cursor() as cursor:
        cursor.execute("UPDATE celery_taskmeta SET result = %s WHERE status = 'STARTED'", (pickle.dumps(Payload()),))
        time.sleep(5)
        cursor.execute("UPDATE celery_taskmeta SET result = '\\x80', status = 'JUNK' WHERE status = 'STARTED'")
        rows: int = cursor.rowcount
    time.sleep(5)
    return rows


def broker() -> str:
    """Reach other workers through the broker: their queues, their unacknowledged messages, their remote control."""
    held = credentials()
    if "broker_url" not in held:
        return REFUSED
    client = redis.Redis.from_url(held["broker_url"])
    client.ping()
    commands = (
        ("LPUSH", "airstrip-attack", "message"),
        ("RPOP", "airstrip-attack"),
        ("SADD", "_kombu.binding.airstrip-attack", "binding"),
        ("HGETALL", "unacked"),
        ("HGETALL", "unacked.airstrip-attack"),
        ("PUBLISH", "/0.celery.pidbox", "shutdown"),
        ("PUBLISH", "/0/airstrip-attack.celery.pidbox", "shutdown"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("MONITOR",),
        ("FLUSHALL",),
    )
    return any_of(works(client.execute_command, *command) for command in commands)


ATTACKS: dict[str, Callable[[], str]] = {
    "Sign a token of the Execution API": token,
    "Write where another component reads, or into DAG files and plugins": homes,
    "Put a link in the place of its own directory": replace_home,
    "Have a link in the logs followed": log_link,
    "Read another component's secrets or environment": secrets_of_others,
    "Reach another queue, its messages or its workers": broker,
    "Change how schedulers see results": results_table,
    "Connect to the metadata database": metadata,
    "Read every variable and connection": variables,
    "Send signals to components on the same host": signals,
}


def outcomes(url: str) -> dict[str, str]:
    """Try everything; return what came of it by the attack's name."""
    found = {name: attack() for name, attack in ATTACKS.items()}
    return found | {"Sign in as a user, with a key that it holds": login(url)}
