"""
What an installation of Airflow that somebody made by hand means for its takeover: findings, variables and secrets.

The facts of the old installation are what roles/airflow_adopt/files/look.py prints. What a migration to Airflow 3
needs is in Airflow's own guide (installation/upgrading_to_airflow3.rst) and in its migrations 0028 to 0123.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

# Heads of the schema by the first version that has them (airflow/utils/db.py, _REVISION_HEADS_MAP). Airflow 2.11 has
# that of 2.10.3.
_HEADS = {
    (2, 11, 0): "5f2621c13b39",
    (3, 0, 0): "29ce7909c52b",
    (3, 0, 3): "fe199e1abd77",
    (3, 1, 0): "cc92b33c6709",
    (3, 1, 8): "509b94a1042d",
    (3, 2, 0): "1d6611b6ab7c",
    (3, 3, 0): "d2f4e1b3c5a7",
}
_EXECUTORS = ("CeleryExecutor", "LocalExecutor")
_HIDDEN_DIRECTORIES = ("/home/", "/root/", "/tmp/", "/var/tmp/")  # noqa: S108 these are compared, not written to
_BLOCKING_RULES = ("AIR301", "AIR302")
# Options that Airstrip sets itself, by sections, or one by one.
_OWN_SECTIONS = ("database", "webserver", "kubernetes", "kubernetes_executor", "sentry")
_OWN_OPTIONS = re.findall(
    r"\S+",
    """
    core.auth_manager core.dags_folder core.execution_api_server_url core.executor core.load_examples
    core.plugins_folder api.auth_backends api.base_url api.host api.port api.ssl_cert api.ssl_key api.workers
    celery.broker_url celery.result_backend celery.worker_concurrency celery.worker_autoscale celery.sync_parallelism
    celery.worker_log_server_port celery_broker_transport_options.visibility_timeout
    dag_processor.dag_bundle_config_list dag_processor.dag_bundle_storage_path fab.auth_backends fab.config_file
    logging.base_log_folder logging.colored_console_log logging.dag_processor_child_process_log_directory
    logging.dag_processor_manager_log_location logging.child_process_log_directory logging.trigger_log_server_port
    logging.worker_log_server_port scheduler.child_process_log_directory usage_data_collection.enabled
    """,
)
# Providers that Airflow 2 installs by itself, whether or not a DAG uses them.
_PREINSTALLED = re.findall(
    r"\S+",
    """
    apache-airflow-providers-common-compat apache-airflow-providers-common-io apache-airflow-providers-common-sql
    apache-airflow-providers-fab apache-airflow-providers-ftp apache-airflow-providers-http
    apache-airflow-providers-imap apache-airflow-providers-smtp apache-airflow-providers-sqlite
    """,
)
_TOOLS = ("apache-airflow", "pip", "setuptools", "wheel", "uv", "psycopg2-binary", "psycopg2")
_EXTRA = "airflow_release_extra_packages"
_SHOWN = 10
# Defaults that have changed in Airflow 3, and decide when DAGs run.
_TIMING = ("catchup_by_default", "create_cron_data_intervals", "create_delta_data_intervals")
_PORT = 5432
# Secrets that are kept, or that a site makes for itself.
_OWN_SECRET_SECTIONS = ("database.", "webserver.")
_OWN_SECRETS = ("core.sql_alchemy_conn", "core.fernet_key", "api.secret_key", "api_auth.jwt_secret")
# What the files of a site are written with, beside the values of airflow.cfg: names, paths, addresses. A blank or a
# line break would end a value in a unit or in pg_hba.conf, and begin another one.
_PROPOSABLE = re.compile(r"[A-Za-z0-9_/.:@,+~-]*\Z")
_PACKAGE = re.compile(r"apache-airflow-providers-[a-z0-9-]+\Z")
_SHORTEST_PASSWORD, _SHORTEST_KEY = 16, 32
# What shows the values that look.py has counted, for who is to see to them.
_NUMBERS = r"encode(value, 'escape') ~ '(^|[:,[]\s*)(NaN|-?Infinity)\s*([],}]|$)'"
_NUL = r"encode(value, 'escape') ~ '(^|[^\\])(\\\\\\\\)*\\\\u0000'"
_SHOW_XCOMS = r"SELECT dag_id, task_id, run_id, key FROM xcom WHERE substr(value, 1, 1) <> '\x80' AND "
_SHOW_DAGS = r"SELECT DISTINCT dag_id FROM serialized_dag WHERE data::text LIKE '%\\u0000%'"
# From which version on the migrations clean them (0049 and 0055), and from which one a DAG must have none (0089).
_CLEANS_NUMBERS, _CLEANS_ALL, _DAGS_ARE_JSONB = (3, 1, 8), (3, 3, 2), (3, 2, 0)

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class _Finding:
    """What was found, and whether the takeover waits for somebody to see to it."""

    code: str
    blocking: bool
    text: str


def _blocks(code: str, text: str) -> _Finding:
    return _Finding(code, blocking=True, text=text)


def _advises(code: str, text: str) -> _Finding:
    return _Finding(code, blocking=False, text=text)


def _version(text: object) -> tuple[int, int, int]:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)[A-Za-z0-9.+]*\Z", str(text))
    if match is None:
        raise AnsibleFilterError(f"airflow_adopt_findings: {text!r} is no version of Airflow")
    return int(match[1]), int(match[2]), int(match[3])


def _some(names: Sequence[Any]) -> str:
    """Return the first of many names, and how many are left out."""
    shown = ", ".join(str(name) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _is_one_of(host: str, addresses: Sequence[str]) -> bool:
    """Tell whether a database's host is one of the addresses; a socket and a loopback address are `localhost`."""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host in ("", "localhost") or host.startswith("/")
    return "localhost" in addresses if local else host in addresses


def _head(version: tuple[int, int, int]) -> str:
    """Return the head of the schema that a version has."""
    return _HEADS[max(known for known in _HEADS if known <= version)]


def _dialect(old: Facts, _site: Facts) -> Iterator[_Finding]:
    yield _blocks(
        "database_kind",
        f"The metadata database is {old['database']['dialect']}, and a site has PostgreSQL. Move it to PostgreSQL "
        "first, with the old Airflow: make an empty database with `airflow db migrate`, and copy the tables into it "
        "(pgloader), or begin with an empty one and import connections, variables and pools (`airflow connections "
        "export`, `variables export`, `pools export`).",
    )


def _versions(old: Facts, site: Facts) -> Iterator[_Finding]:
    found, wanted = _version(old["version"]), _version(site["version"])
    if found < (2, 11, 0):
        yield _blocks(
            "too_old",
            f"The installation is Airflow {old['version']}. Upgrade it to 2.11 first, whose checks are for 3.",
        )
    elif found > wanted:
        yield _blocks(
            "too_new",
            f"The installation is Airflow {old['version']}, newer than site_airflow_version {site['version']}. Set "
            "site_airflow_version to it, or to a newer one.",
        )
    elif old["database"].get("revision") != _head(found):
        yield _blocks(
            "schema",
            f"The database's schema has the revision {old['database'].get('revision')}, and Airflow {old['version']} "
            f"has {_head(found)}: a migration is due or was interrupted. Run the old `airflow db migrate` first.",
        )


def _place(old: Facts, site: Facts) -> Iterator[_Finding]:
    database = old["database"]
    if site["has_postgresql"] and not _is_one_of(database["host"], site["database_addresses"]):
        yield _blocks(
            "database_elsewhere",
            f"The metadata database is on {database['host']}, which is no host of the group postgresql: the site would "
            "begin with an empty one. Leave the group empty and set site_database_host, or put that host into it.",
        )
    elif not site["has_postgresql"] and len(database["password"]) < _SHORTEST_PASSWORD:
        yield _blocks(
            "database_password",
            f"The password of the database's user {database['user']} has fewer than {_SHORTEST_PASSWORD} characters. "
            "Change it with ALTER ROLE and in the old configuration first.",
        )


def _server(old: Facts, site: Facts) -> Iterator[_Finding]:
    database = old["database"]
    if database["encoding"] != "UTF8":
        yield _blocks("encoding", f"The database's encoding is {database['encoding']}. Restore it into one of UTF8.")
    if database["superuser"]:
        yield _blocks(
            "superuser",
            f"Airflow's role {database['user']} is a superuser of PostgreSQL, and would lose that. Make it a role of "
            "its own: CREATE ROLE, ALTER DATABASE ... OWNER TO, REASSIGN OWNED, and sql_alchemy_conn.",
        )
    if database["foreign_tables"]:
        yield _blocks(
            "owner",
            f"Tables of others than {database['user']}, which a migration cannot change: "
            f"{_some(database['foreign_tables'])}. Make it their owner (ALTER TABLE ... OWNER TO).",
        )
    others = [name for name in database["other_databases"] if name not in site["known_databases"]]
    if site["has_postgresql"] and others:
        yield _blocks(
            "other_databases",
            f"The server has other databases: {_some(others)}. Airstrip writes pg_hba.conf anew: list their clients "
            "in site_database_extra_clients, or they are cut off.",
        )


def _contents(old: Facts, _site: Facts) -> Iterator[_Finding]:
    database = old["database"]
    if database["undecryptable"]:
        yield _blocks(
            "fernet_key",
            f"The Fernet key does not open: {_some(database['undecryptable'])}. Find the right key, or remove them.",
        )
    elif not old["options"]["core.fernet_key"]:
        yield _advises("plain", "There is no Fernet key: connections lie in the clear until they are saved again.")
    if database["subdags"]:
        yield _blocks("subdags", f"SubDAGs are gone in Airflow 3: {_some(database['subdags'])}. Use task groups.")
    if database["pickled_xcoms"]:
        yield _advises("pickled_xcoms", "Pickled XComs are moved to the table _xcom_archive: tasks do not find them.")
    if database["leftovers"]:
        yield _advises("leftovers", f"Tables left from earlier migrations: {_some(database['leftovers'])}. Drop them.")
    sizes = "".join(f", {name} {size} MB" for name, size in database["tables"] if size)
    yield _advises(
        "size",
        f"The database has {database['size_mb']} MB{sizes}. The migration writes large tables anew and takes as "
        "much space again: run `airflow db clean` before, if this is much.",
    )


def _values(old: Facts, site: Facts) -> Iterator[_Finding]:
    """Yield what is said of values of which the migration is to make JSON, where PostgreSQL has no such JSON."""
    values, wanted = old["database"]["values"], _version(site["version"])
    version = f"the migration to {site['version']}"
    for count, what, where, cleaned in (
        (values["numbers"], "NaN or Infinity", _NUMBERS, _CLEANS_NUMBERS),
        (values["nul"], "the character NUL", _NUL, _CLEANS_ALL),
    ):
        if count and wanted < cleaned:
            yield _blocks(
                "xcoms",
                f"{count} XComs have {what} in them, at which {version} stops. Set site_airflow_version to "
                f"{'.'.join(map(str, cleaned))} or newer, which changes them, or delete them from the old database; "
                f"this shows them:\n    {_SHOW_XCOMS}{where};",
            )
        elif count:
            become = "null or a text" if where == _NUMBERS else "nothing"
            yield _advises("xcoms", f"{count} XComs have {what} in them, of which {version} makes {become}.")
    if values["runs"] and wanted < _CLEANS_ALL:
        yield _blocks(
            "runs",
            f"Runs whose configuration has NaN, Infinity or NUL in it, at which {version} stops: "
            f"{_some(values['runs'])}. Set site_airflow_version to 3.3.2 or newer, or delete these runs.",
        )
    # Airflow 3.0 makes those of Airflow 2 anew.
    if values["dags"] and (3, 0, 0) <= _version(old["version"]) < _DAGS_ARE_JSONB <= wanted:
        yield _blocks(
            "serialized_dags",
            f"{values['dags']} serialized DAGs have the character NUL in them, at which {version} stops. Take it out "
            f"of the DAGs' files, and delete these rows; this shows whose they are:\n    {_SHOW_DAGS};",
        )


def _tasks(old: Facts, _site: Facts) -> Iterator[_Finding]:
    database = old["database"]
    if database["busy"]:
        yield _advises(
            "busy",
            f"{database['busy']} task instances are queued or running. The takeover waits for them; pause DAGs with "
            "long tasks before.",
        )
    if database["deferred"]:
        yield _blocks(
            "deferred",
            f"{database['deferred']} task instances are deferred, and a migration does not carry their state over "
            "reliably. Wait for their end, or accept that they may fail and be retried.",
        )


def _options(old: Facts, _site: Facts) -> Iterator[_Finding]:
    options = old["options"]
    executors = {name.strip().rpartition(".")[2] for name in options["core.executor"].split(",")}
    if unknown := sorted(executors - set(_EXECUTORS)):
        yield _blocks(
            "executor", f"Airstrip runs {' and '.join(_EXECUTORS)}, not {_some(unknown)}. Choose one of them."
        )
    if options["database.sql_alchemy_schema"]:
        yield _blocks(
            "sql_alchemy_schema",
            "sql_alchemy_schema is set. Let the role find the schema instead: ALTER ROLE ... SET search_path.",
        )
    if old["authentication"] not in ("", "AUTH_DB"):
        yield _blocks(
            "authentication",
            f"webserver_config.py sets {old['authentication']}. Give its content as airflow_webserver_config, its "
            "passwords as airflow_webserver_config_secrets, its packages as airflow_release_extra_packages, and accept "
            "this.",
        )
    if options["secrets.backend"]:
        yield _advises(
            "secrets_backend",
            f"The secrets backend {options['secrets.backend']} is not taken over: set airflow_config_overrides.",
        )


def _folders(old: Facts, site: Facts) -> Iterator[_Finding]:
    folder = old["options"]["core.dags_folder"]
    if folder.startswith(_HIDDEN_DIRECTORIES):
        yield _blocks(
            "dags_folder",
            f"dags_folder is {folder}, which the units cannot see (ProtectHome, PrivateTmp). Copy it to "
            f"{site['dags_folder']}, and accept this.",
        )
    own = [name for name in old["packages"] if not name.startswith("apache-airflow-providers-") and name not in _TOOLS]
    if own:
        yield _advises("packages", f"Packages besides Airflow: {_some(own)}. Put what DAGs import into {_EXTRA}.")


def _odd(old: Facts, site: Facts) -> Iterator[_Finding]:
    if odd := [f"{name} would be {value!r}" for name, value in _named(old, site).items() if not _is_proposable(value)]:
        yield _blocks(
            "odd_names",
            f"Only letters, digits and _/.:@,+~- may be in names, paths and addresses of a site: {'; '.join(odd)}. "
            "Rename it in the old installation, or set the variable yourself: the proposal leaves it out.",
        )
    if strange := [name for name in old["packages"] if not re.fullmatch(r"[a-z0-9-]+", str(name))]:
        yield _blocks(
            "odd_packages",
            f"No names of packages: {_some([repr(name) for name in strange])}. Remove what is broken in the old "
            "environment, or accept that it is left out.",
        )


def _secret_options(old: Facts, _site: Facts) -> Iterator[_Finding]:
    """Name the options that hold a secret, other than those that a site has itself."""
    known = (*_OWN_OPTIONS, *_OWN_SECRETS)
    names = [name for name in old["secret_options"] if name not in known and not name.startswith(_OWN_SECRET_SECTIONS)]
    if names:
        yield _advises(
            "secret_options",
            f"Options that hold a secret are not taken over: {_some(names)}. Give those that are still needed in "
            "airflow_config_overrides, by variables of a file that Ansible Vault has encrypted.",
        )


def _lint(old: Facts, output: str) -> list[str]:
    """Return what `airflow config lint` says of options that are set; 2.11 speaks of all that have a default, too."""
    entries = [
        " ".join(entry.partition("\n\n")[0].split()) for entry in re.split(r"^  - ", output, flags=re.MULTILINE)[1:]
    ]
    names = [(entry["section"], entry["option"]) for entry in old["changed"]]
    options = [{*name} for name in names if ".".join(name) not in _OWN_OPTIONS]
    quoted = {entry: set(re.findall(r"`([^`]+)`", entry)) for entry in entries}
    return [entry for entry in entries if any(option <= quoted[entry] for option in options)]


def _checks(old: Facts, site: Facts) -> Iterator[_Finding]:
    """Yield what Airflow's own checks say."""
    dags = [as_mapping(entry, "each of site.dags") for entry in site["dags"] or []]
    lines = [f"{entry['filename']}:{entry['location']['row']} {entry['message']}" for entry in dags]
    broken = [line for line, entry in zip(lines, dags, strict=True) if entry["code"] in _BLOCKING_RULES]
    others = [line for line, entry in zip(lines, dags, strict=True) if entry["code"] not in _BLOCKING_RULES]
    if broken:
        yield _blocks("dags", "DAGs use what Airflow 3 has not:\n    " + "\n    ".join(broken))
    if others:
        yield _advises("dags_later", f"DAGs use what Airflow 3 still has, {len(others)} times. First: {others[0]}")
    if site["dags"] is None:
        yield _advises(
            "dags_unchecked",
            "The DAGs were not checked, as the old environment has no pip, or an index does not answer. Run on them: "
            "ruff check --select AIR301,AIR302,AIR311,AIR312",
        )
    if lines := _lint(old, site["lint"]):
        yield _advises("lint", "`airflow config lint` says:\n    " + "\n    ".join(lines))


def _host(old: Facts, site: Facts) -> Iterator[_Finding]:
    if not site["units"]:
        yield _blocks(
            "units",
            f"No unit in /etc/systemd/system runs {site['program']}. Name the units of the old installation in "
            "airflow_adopt_units, or accept this.",
        )
    if site["secret_units"]:
        yield _blocks(
            "unit_environment",
            f"Options of Airflow stand in Environment= of {_some(site['secret_units'])}, where they were not read. "
            "Move them to a file of mode 0600, and name it there as EnvironmentFile= and in "
            "airflow_adopt_environment_files.",
        )
    if not old["pg_dump"]:
        yield _blocks(
            "pg_dump", "There is no pg_dump on this host. Install postgresql-client of the server's version, or newer."
        )
    if site["conflicts"]:
        yield _blocks(
            "secrets",
            f"The inventory has other values already for {_some(site['conflicts'])}. Remove them from "
            "site_secrets_file if nothing uses them yet, or set them to the old installation's.",
        )


def _timing(old: Facts, _site: Facts) -> Iterator[_Finding]:
    if _version(old["version"]) < (3, 0, 0):
        yield _advises(
            "timing",
            f"Airflow 3 has other defaults for {_some(_TIMING)}. The proposal keeps the old ones, so that DAGs run "
            "when they have run; take that out when you have read what they mean.",
        )


def _dropped(old: Facts, site: Facts) -> Iterator[_Finding]:
    if dropped := _overrides(old, site)[1]:
        yield _advises("options", f"Options that Airflow {site['version']} does not have are left: {_some(dropped)}.")


_CHECKS: tuple[Callable[[Facts, Facts], Iterator[_Finding]], ...] = (
    _versions,
    _host,
    _place,
    _options,
    _folders,
    _odd,
    _secret_options,
    _server,
    _contents,
    _values,
    _tasks,
    _checks,
    _timing,
    _dropped,
)


def airflow_adopt_findings(old: object, site: object) -> list[dict[str, Any]]:
    """
    List what a takeover of an old installation has to know: mappings of `code`, `blocking` and `text`.

    Example: `old | airflow_adopt_findings({'version': '3.3.2', ...})`, where `old` is what look.py prints. No text
    contains a secret. Raises AnsibleFilterError on wrong types and on what is no version.
    """
    facts, wanted = as_mapping(old, "the old installation"), as_mapping(site, "the site")
    # Another database was not asked.
    checks = _CHECKS if facts["database"]["dialect"] == "postgresql" else (_dialect,)
    found = [finding for check in checks for finding in check(facts, wanted)]
    return [asdict(finding) for finding in sorted(found, key=lambda finding: not finding.blocking)]


def _overrides(old: Facts, site: Facts) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the old options that the new version has, by its names, and the names of the others."""
    renamed, sections = site["options"].get("renamed", {}), site["options"].get("sections", {})
    kept: dict[str, dict[str, str]] = {}
    dropped = []
    for entry in old["changed"]:
        name = f"{entry['section']}.{entry['option']}"
        new = str(renamed.get(name, name))
        section, _, option = new.partition(".")
        if new in _OWN_OPTIONS or name in _OWN_OPTIONS or section in _OWN_SECTIONS:
            continue
        if option in sections.get(section, {}).get("options", []) or sections.get(section, {}).get("open"):
            kept.setdefault(section, {})[option] = str(entry["value"])
        else:
            dropped.append(name)
    return kept, dropped


def _packages(old: Facts, site: Facts) -> dict[str, list[str]]:
    """Return the extras and packages that bring what the old installation has and a site has not."""
    lacking = [name for name in old["packages"] if name not in (*_PREINSTALLED, *_TOOLS)]
    extras = {package: extra for extra, package in site["providers"].items()}
    own = set(site["extras"])
    more = sorted({extras[name] for name in lacking if name in extras} - own)
    rest = [name for name in lacking if name not in extras and _PACKAGE.match(name)]
    found = {"airflow_release_extras": sorted(own | set(more)) if more else [], _EXTRA: rest}
    return {name: value for name, value in found.items() if value}


def _paths(old: Facts, site: Facts) -> dict[str, str]:
    """Return the old directories that the units can see; logs only where Airflow's user stays the same."""
    folders = {"airflow_dags_folder": "core.dags_folder", "airflow_plugins_folder": "core.plugins_folder"}
    if old["user"] == site["user"]:
        folders["airflow_log_directory"] = "logging.base_log_folder"
    found = {variable: str(old["options"][option]).rstrip("/") for variable, option in folders.items()}
    return {
        variable: path for variable, path in found.items() if path and not f"{path}/".startswith(_HIDDEN_DIRECTORIES)
    }


def _owner(old: Facts, site: Facts) -> dict[str, Any]:
    """Return the numbers of Airflow's user, to whom the old logs belong; nothing if it is another one."""
    if old["user"] != site["user"]:
        return {}
    group = {} if old["group"] == site["group"] else {"site_group": old["group"]}
    return {"site_uid": int(old["uid"]), "site_gid": int(old["gid"])} | group


def _database(old: Facts, site: Facts) -> dict[str, Any]:
    """Return where the metadata database is."""
    database = old["database"]
    found = {"site_database_name": database["name"], "site_database_user": database["user"]}
    if site["has_postgresql"]:
        # That of the distribution may be another one, which would make an empty cluster beside this.
        port = {"site_database_port": int(database["port"])} if int(database["port"]) != _PORT else {}
        version = {"site_postgresql_version": str(int(database["server_version"]) // 10000)}
        # What else it holds is a finding, which somebody has accepted by now.
        return found | port | version | {"postgresql_takeover_allowed": True}
    options = {name: str(value) for name, value in database["options"].items()}
    place = {"site_database_host": database["host"], "site_database_port": int(database["port"])}
    return found | place | ({"airflow_database_options": options} if options else {})


def _named(old: Facts, site: Facts) -> dict[str, Any]:
    """Return what names, paths and addresses the site would have of the old installation."""
    executors = [name.strip().rpartition(".")[2] for name in old["options"]["core.executor"].split(",")]
    executor = {"site_executor": ",".join(executors)}
    return _database(old, site) | executor | _paths(old, site) | _owner(old, site) | _packages(old, site)


def _is_proposable(value: object) -> bool:
    return not isinstance(value, str) or _PROPOSABLE.match(value) is not None


def airflow_adopt_proposal(old: object, site: object) -> dict[str, Any]:
    """
    Propose the variables of a site that goes on where an old installation stops, without secrets.

    Returns `variables`, and `dropped`: the options that have no place in the new version. The administrator that
    Airstrip makes for itself gets another name if the old installation has one of the name. Raises AnsibleFilterError
    on wrong types.
    """
    facts, wanted = as_mapping(old, "the old installation"), as_mapping(site, "the site")
    variables = {name: value for name, value in _named(facts, wanted).items() if _is_proposable(value)}
    if "Celery" in facts["options"]["core.executor"]:
        # Celery has left something in the broker, whoever else has.
        variables["redis_takeover_allowed"] = True
    if wanted["install_owner"] != "root":
        variables["site_install_directory"] = "/opt/airstrip"
    if wanted["admin"] in facts["database"].get("users", []):
        variables["site_admin_username"] = "airstrip"
    overrides, dropped = _overrides(facts, wanted)
    if _version(facts["version"]) < (3, 0, 0):
        overrides["scheduler"] = {name: facts["options"][f"scheduler.{name}"] for name in _TIMING} | overrides.get(
            "scheduler", {}
        )
    if overrides:
        variables["airflow_config_overrides"] = overrides
    return {"variables": variables, "dropped": dropped}


def airflow_adopt_secrets(old: object) -> dict[str, str]:
    """
    Return the secrets of an old installation that a site keeps, by the names of its variables.

    Without the Fernet key nobody could read connections and variables. Others are kept where they are long enough;
    Airflow 2 has no key for tokens. Raises AnsibleFilterError on wrong types.
    """
    facts = as_mapping(old, "the old installation")
    options = as_mapping(facts["options"], "the old options")
    found = {
        "airflow_fernet_key": (options["core.fernet_key"], 1),
        "airflow_database_password": (facts["database"]["password"], _SHORTEST_PASSWORD),
        "airflow_api_secret_key": (options["api.secret_key"] or options["webserver.secret_key"], _SHORTEST_KEY),
        "airflow_jwt_secret": (options["api_auth.jwt_secret"], _SHORTEST_KEY),
    }
    return {name: str(value) for name, (value, shortest) in found.items() if len(str(value)) >= shortest}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_adopt_findings": airflow_adopt_findings,
            "airflow_adopt_proposal": airflow_adopt_proposal,
            "airflow_adopt_secrets": airflow_adopt_secrets,
        }
