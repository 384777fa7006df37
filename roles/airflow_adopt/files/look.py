"""Print what an installation of Airflow 2 or 3 says of itself, as JSON. Secrets are among it.

Runs in that installation's own Python, as its user, with its environment: so it reads what its components read, from
airflow.cfg, from environment variables and from the commands of `_cmd` options. It changes nothing. With the argument
`values`, it reads all values that a migration makes JSON of, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shutil
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

# Options that are read whether or not they are set; without a value they are empty.
WANTED = (
    "core.executor",
    "core.dags_folder",
    "core.plugins_folder",
    "core.fernet_key",
    "core.auth_manager",
    "logging.base_log_folder",
    "logging.remote_logging",
    "database.sql_alchemy_conn",
    "database.sql_alchemy_schema",
    "celery.broker_url",
    "api.secret_key",
    "api_auth.jwt_secret",
    "webserver.secret_key",
    "webserver.config_file",
    "fab.config_file",
    "secrets.backend",
    "scheduler.catchup_by_default",
    "scheduler.create_cron_data_intervals",
    "scheduler.create_delta_data_intervals",
)
# States of task instances that a worker has, or will have without the scheduler.
BUSY = ("running", "queued", "restarting")
SECRET = re.compile(r"password|passwd|secret|token|_key$|_conn$|dsn|credential|kwargs|basic_auth", re.IGNORECASE)
# In the value of an option that is not called so: a user in an URL, a password in JSON or in a connection string.
SECRET_VALUE = re.compile(r"://\S*@|(password|passwd|secret|token)\w*[\"']?\s*[:=]", re.IGNORECASE)
# What Python's JSON has and PostgreSQL's has not, in a text of which encode(..., 'escape') has doubled the backslashes:
# numbers that are none, and the character NUL, of which the backslash is no escaped one.
NUMBERS = r"(^|[:,[]\s*)(NaN|-?Infinity)\s*([],}]|$)"
NUL = r"(^|[^\\])(\\\\\\\\)*\\\\u0000"
NUL_ESCAPE = re.compile(r"(^|[^\\])(\\\\)*\\u0000")
# Where values come from that somebody has set.
SOURCES = ("airflow.cfg", "env var", "cmd", "secret")


def value_of(conf: Any, name: str) -> str:
    """Return the value of an option; nothing if it has none, or if its command or backend fails."""
    section, _, option = name.partition(".")
    try:
        return str(conf.get(section, option, fallback="") or "")
    except Exception:
        return ""


def options_of(conf: Any) -> dict[str, str]:
    """Return the values of WANTED. A folder of plugins that is not there is none: Airflow does without a word."""
    found = {name: value_of(conf, name) for name in WANTED}
    if not os.path.isdir(found["core.plugins_folder"]):  # noqa: PTH112 - it never fails
        found["core.plugins_folder"] = ""
    return found


def default_of(conf: Any, section: str, option: str) -> str:
    """Return the default of an option; nothing if it has none."""
    try:
        return str(conf.get_default_value(section, option, fallback="") or "")
    except Exception:
        return ""


def is_secret(name: str, value: str, sensitive: set[str]) -> bool:
    """Tell whether an option may hold a secret: by Airflow's own list, by its name or by its value."""
    return name in sensitive or bool(SECRET.search(name.partition(".")[2]) or SECRET_VALUE.search(value))


def set_options(conf: Any) -> tuple[list[dict[str, str]], list[str]]:
    """Return the options that differ from Airflow's defaults; of those that may hold a secret only the names."""
    sensitive = {f"{section}.{option}" for section, option in conf.sensitive_config_values}
    found, secret = [], []
    for section, options in conf.as_dict(display_source=True, display_sensitive=True, raw=False).items():
        for option, (value, source) in options.items():
            name, text = f"{section}.{option}", str(value)
            if source not in SOURCES or text == default_of(conf, section, option):
                continue
            if is_secret(name, text, sensitive):
                secret.append(name)
            else:
                found.append({"section": section, "option": option, "value": text})
    return found, secret


def packages() -> list[str]:
    """Return the installed packages on which no other one depends, and all providers."""
    names, needed = set(), set()
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            names.add(re.sub(r"[-_.]+", "-", name).lower())
        for requirement in distribution.requires or []:
            needed.add(re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement)[0]).lower())
    return sorted(name for name in names if name not in needed or name.startswith("apache-airflow-providers-"))


def web_authentication(path: str) -> str:
    """Return the AUTH_TYPE that webserver_config.py sets; nothing if there is none."""
    try:
        match = re.search(r"^AUTH_TYPE\s*=\s*(\w+)", Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return match[1] if match else ""


class Database:
    """The metadata database, asked read-only, each question for itself."""

    def __init__(self, url: str) -> None:
        from sqlalchemy import create_engine  # noqa: PLC0415 in the old installation's environment only

        self.connection = create_engine(url).connect()

    def rows(self, query: str, **values: Any) -> list[list[Any]]:
        """Return the rows of a query."""
        from sqlalchemy import text  # noqa: PLC0415 as above

        with self.connection.begin():
            return [list(row) for row in self.connection.execute(text(query), values)]

    def one(self, query: str, **values: Any) -> Any:
        """Return the first value of a query; nothing if there is no row."""
        rows = self.rows(query, **values)
        return rows[0][0] if rows else None

    def column(self, query: str) -> list[Any]:
        """Return the first values of a query's rows."""
        return [row[0] for row in self.rows(query)]

    def has(self, table: str, column: str = "") -> bool:
        """Tell whether there is a table, or a column of it."""
        if not column:
            return self.one("SELECT to_regclass(:name) IS NOT NULL", name=table) is True
        query = "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(:t) AND attname = :c AND NOT attisdropped"
        return bool(self.rows(query, t=table, c=column))


def undecryptable(database: Database, key: str) -> list[str]:
    """Return the connections and variables that the Fernet key does not open."""
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # noqa: PLC0415 as above

    encrypted = [
        *database.rows("SELECT 'connection ' || conn_id, password FROM connection WHERE is_encrypted"),
        *database.rows("SELECT 'connection ' || conn_id, extra FROM connection WHERE is_extra_encrypted"),
        *database.rows("SELECT 'variable ' || key, val FROM variable WHERE is_encrypted"),
    ]
    fernet = MultiFernet([Fernet(part.strip().encode()) for part in key.split(",") if part.strip()]) if key else None
    failed = set()
    for name, value in encrypted:
        try:
            if value and fernet is None:
                failed.add(name)
            elif value:
                fernet.decrypt(value.encode())  # type: ignore[union-attr]
        except InvalidToken:
            failed.add(name)
    return sorted(failed)


def about_server(database: Database) -> dict[str, Any]:
    """Return what decides whether Airstrip's PostgreSQL role and the migration can work on the database."""
    return {
        "server_version": database.one("SELECT current_setting('server_version_num')::int"),
        "encoding": database.one(
            "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
        ),
        "superuser": database.one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"),
        "foreign_tables": database.column(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'S')"
            " AND relnamespace = current_schema()::regnamespace"
            " AND NOT pg_has_role(current_user, relowner, 'USAGE') ORDER BY relname"
        ),
        "other_databases": database.column(
            "SELECT datname FROM pg_database WHERE NOT datistemplate"
            " AND datname NOT IN ('postgres', current_database()) ORDER BY datname"
        ),
        "size_mb": database.one("SELECT pg_database_size(current_database()) / 1048576"),
        "tables": database.rows(
            "SELECT relname, pg_total_relation_size(oid) / 1048576 FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = current_schema()::regnamespace ORDER BY 2 DESC LIMIT 5"
        ),
        "clients": database.rows(
            "SELECT usename, coalesce(host(client_addr), 'local'), count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY 1, 2"
        ),
    }


def has_pickled_xcoms(database: Database) -> bool:
    """Tell whether an XCom is a pickle, which starts with the byte 128; Airflow 3 keeps JSON only."""
    kind = "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = to_regclass('xcom') AND attname = 'value'"
    pickled = "SELECT 1 FROM xcom WHERE length(value) > 0 AND get_byte(value, 0) = 128 LIMIT 1"
    return database.one(kind) == "bytea" and bool(database.rows(pickled))


def is_no_json(conf: bytes) -> bool:
    """Tell whether the pickled configuration of a run has what JSON has not; what is no pickle has nothing."""
    try:
        # The old installation's own, which reads it all the time.
        return NUL_ESCAPE.search(json.dumps(pickle.loads(conf), allow_nan=False)) is not None  # noqa: S301
    except ValueError:
        return True
    except Exception:
        return False


def about_values(database: Database) -> dict[str, Any]:
    """Return how many values there are of which a migration cannot make what PostgreSQL takes for JSON."""
    kind = "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = to_regclass(:t) AND attname = :c"
    found: dict[str, Any] = {"numbers": 0, "nul": 0, "runs": [], "dags": 0}
    if database.one(kind, t="xcom", c="value") == "bytea":
        # A pickle begins with the byte 128.
        query = "SELECT count(*) FROM xcom WHERE substr(value, 1, 1) <> '\\x80' AND encode(value, 'escape') ~ :pattern"
        found["numbers"] = database.one(query, pattern=NUMBERS)
        found["nul"] = database.one(query, pattern=NUL)
    if database.one(kind, t="dag_run", c="conf") == "bytea":
        rows = database.rows("SELECT dag_id || ' ' || run_id, conf FROM dag_run WHERE length(conf) > 5 ORDER BY 1")
        found["runs"] = [name for name, conf in rows if is_no_json(conf)]
    if database.one(kind, t="serialized_dag", c="data") == "json":
        query = "SELECT count(*) FROM serialized_dag WHERE encode(convert_to(data::text, 'UTF8'), 'escape') ~ :pattern"
        found["dags"] = database.one(query, pattern=NUL)
    return found


def about_airflow(database: Database, key: str) -> dict[str, Any]:
    """Return the schema's revisions and the rows that a takeover is about."""
    fab, users = database.has("alembic_version_fab"), database.has("ab_user")
    subdags = database.has("dag", "is_subdag")
    return {
        "revision": database.one("SELECT version_num FROM alembic_version"),
        "fab_revision": database.one("SELECT version_num FROM alembic_version_fab") if fab else None,
        "users": database.column("SELECT username FROM ab_user ORDER BY username") if users else [],
        "busy": database.one("SELECT count(*) FROM task_instance WHERE state = ANY(:states)", states=list(BUSY)),
        "deferred": database.one("SELECT count(*) FROM task_instance WHERE state = 'deferred'"),
        "subdags": database.column("SELECT dag_id FROM dag WHERE is_subdag AND is_active") if subdags else [],
        "pickled_xcoms": has_pickled_xcoms(database),
        "leftovers": database.column(
            "SELECT relname FROM pg_class WHERE relname ~ '^_(airflow_moved|xcom_archive)' AND relkind = 'r'"
        ),
        "undecryptable": undecryptable(database, key),
    }


def look(values: bool) -> dict[str, Any]:
    """Return all of it; what is said of values only if they are to be read."""
    import airflow  # noqa: PLC0415 after the standard output is out of its reach
    from airflow.configuration import conf  # noqa: PLC0415 as above

    with contextlib.suppress(AttributeError):
        conf.load_providers_configuration()
    options = options_of(conf)
    changed, secret_options = set_options(conf)
    from sqlalchemy.engine import make_url  # noqa: PLC0415 as above

    url = make_url(options["database.sql_alchemy_conn"])
    found: dict[str, Any] = {
        "version": airflow.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "options": options,
        "changed": changed,
        "secret_options": secret_options,
        "packages": packages(),
        "authentication": web_authentication(options["fab.config_file"] or options["webserver.config_file"]),
        "pg_dump": shutil.which("pg_dump") or "",
        "database": {
            "dialect": url.get_backend_name(),
            "user": url.username or "",
            "password": url.password or url.query.get("password", ""),
            "host": url.host or str(url.query.get("host", "")),
            "port": url.port or 5432,
            "name": url.database or "",
            "options": {name: value for name, value in url.query.items() if name != "host" and not SECRET.search(name)},
        },
    }
    if url.get_backend_name() == "postgresql":
        database = Database(options["database.sql_alchemy_conn"])
        found["database"].update(about_server(database), **about_airflow(database, options["core.fernet_key"]))
        if values:
            found["database"]["values"] = about_values(database)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # Airflow and its plugins may print when they are imported.
    with contextlib.redirect_stdout(sys.stderr):
        seen = look("values" in sys.argv[1:])
    print(json.dumps(seen, default=str))
