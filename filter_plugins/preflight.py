"""
What is wrong with the inventory, the variables and a host, as far as plain values can tell.

The findings of other filters (airflow_version_problems, airflow_secret_problems, airflow_config_unknown) are given as
facts, so that each is found in the subject's own file.

A check is a function of the facts, and stands in _CHECKS with the facts that it cannot do without.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.addresses import ip
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping, as_number
from ansible_collections.airstrip.core.plugins.plugin_utils.store_checks import (
    broker_problems,
    login_problems,
    plaintext_problems,
    store_problems,
)

Facts = Mapping[str, Any]

_SUPPORTED_SYSTEMS = {"Debian": ("12", "13"), "Ubuntu": ("22.04", "24.04")}
# The package of the broker that a system has not, or has too old: users have channels from Redis 6.2 on.
_BROKERS_LACKING = {
    ("Debian", "12", "valkey-server"): "Debian 12 has no Valkey. Set it to redis.",
    ("Ubuntu", "22.04", "valkey-server"): "Ubuntu 22.04 has no Valkey, and its Redis 6.0 is too old.",
    ("Ubuntu", "22.04", "redis-server"): "Ubuntu 22.04 has Redis 6.0, and 6.2 is needed.",
}
_SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13")
# Airflow's default `[api_auth] jwt_leeway` is 10 s; two hosts that are each 5 s off are at its edge.
_MAX_CLOCK_SKEW = 5
# PostgreSQL: NAMEDATALEN 64 with the closing NUL (documentation, 4.1.1).
_MAX_IDENTIFIER_BYTES = 63
# The databases of every cluster, and what pg_hba.conf takes for keywords.
_RESERVED_DATABASES = frozenset(
    {"postgres", "template0", "template1", "all", "sameuser", "samerole", "samegroup", "replication"}
)
_RESERVED_ROLES = frozenset({"postgres", "public", "none", "all"})
_BAD_IDENTIFIER = re.compile(r"[\x00-\x1f\x7f'\"`\\]|^[+@/]|^\s|\s$")
_DATABASE_NAME = re.compile(r"[A-Za-z0-9_.~-]+\Z")
# systemd.unit(5), "String escaping"; it allows a backslash too, but as the start of an escape.
_SYSTEMD_NAME = re.compile(r"[A-Za-z0-9:_.-]+\Z")
_MAX_UNIT_NAME = 255
# Queues stand in a unit's command line, separated by commas.
_QUEUE_NAME = re.compile(r"[A-Za-z0-9:_.-]+\Z")
# Address and port of the client, then of the server (ssh(1), ENVIRONMENT).
_SSH_CONNECTION_FIELDS = 4
# Tags of site.yml by which all of Airflow is brought up to date, and by which what leaves a host is stopped.
_WHOLE_AIRFLOW = frozenset({"all", "airflow", "install", "configure", "service"})
_REMOVAL = frozenset({"all", "install", "configure", "service", "removal"})
_NO_REMOVAL = frozenset({"airflow", "upgrade"})


def _rows(facts: Facts, key: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    for row in as_list(facts[key], key):
        given = as_mapping(row, f"each of {key}")
        if missing := [column for column in columns if column not in given]:
            raise AnsibleFilterError(f"preflight_problems: each of {key} needs '{missing[0]}'")
        yield tuple(given[column] for column in columns)


def _here(facts: Facts) -> str:
    return f"{facts['host']}: " if facts.get("host") else ""


def _lock(facts: Facts) -> Iterator[str]:
    airflow = as_mapping(facts["airflow"], "airflow")
    available = as_mapping(airflow.get("available"), "airflow.available")
    version, python = str(airflow.get("version")), ".".join(str(airflow.get("python")).split(".")[:2])
    if airflow.get("constraints") or python in map(str, available.get(version, [])):
        return
    known = "; ".join(f"{name} for Python {', '.join(map(str, available[name]))}" for name in sorted(available))
    yield (
        f"{_here(facts)}site_airflow_version: there is no lock for Airflow {version} on Python {python}, and "
        f"airflow_release_constraints is not set. Locks exist for {known or 'no version'}. Choose one of them, set "
        f"airflow_release_constraints, or run bin/lock {version}."
    )


def _system(facts: Facts) -> Iterator[str]:
    system = as_mapping(facts["os"], "os")
    name, found = str(system.get("distribution")), str(system.get("version"))
    version = next((known for known in _SUPPORTED_SYSTEMS.get(name, ()) if f"{found}.".startswith(f"{known}.")), "")
    if not version:
        supported = ", ".join(f"{known} {' or '.join(versions)}" for known, versions in _SUPPORTED_SYSTEMS.items())
        yield f"{_here(facts)}the operating system is {name} {found}. Use {supported}."
    if lack := _BROKERS_LACKING.get((name, version, str(system.get("broker")))):
        yield (
            f"{_here(facts)}site_redis_engine: {lack} Or put a host with another system into the group redis, or "
            "leave it empty and set site_broker_host."
        )


def _python(facts: Facts) -> Iterator[str]:
    if ".".join(str(facts["python"]).split(".")[:2]) not in _SUPPORTED_PYTHONS:
        yield (
            f"{_here(facts)}airflow_release_python is Python {facts['python']}. Set it to the path of a Python "
            f"{', '.join(_SUPPORTED_PYTHONS[:-1])} or {_SUPPORTED_PYTHONS[-1]}."
        )


def _findings(facts: Facts, key: str) -> Iterator[str]:
    yield from (str(problem) for problem in as_list(facts[key], key))


def _disk(facts: Facts) -> Iterator[str]:
    for path, free, needed in _rows(facts, "disk", ("path", "free_mb", "needed_mb")):
        if as_number(free, f"free_mb of {path}") < as_number(needed, f"needed_mb of {path}"):
            yield f"{_here(facts)}{path} has {free} MB free, and {needed} MB are needed. Free space or enlarge it."


def _release_change(facts: Facts) -> Iterator[str]:
    """Refuse a new version that would reach only some components, or no host that migrates the database."""
    change = as_mapping(facts["release_change"], "release_change")
    if not change.get("needed"):
        return
    tags = [str(tag) for tag in as_list(change.get("tags"), "release_change.tags")]
    migration_host = change.get("migration_host")
    found = f"site_airflow_version is {change.get('wanted')}, {change.get('installed')} is installed, and"
    # Old components do not run on a database that is ahead of them.
    if any(tag.startswith("airflow_") for tag in tags) and not _WHOLE_AIRFLOW & set(tags):
        yield (
            f"{_here(facts)}{found} the tags {', '.join(tags)} would change one component only. Run without tags, or "
            "with the tag airflow."
        )
    if migration_host and migration_host not in as_list(change.get("hosts"), "release_change.hosts"):
        yield (
            f"{_here(facts)}{found} {migration_host}, which migrates the database, is outside of this run. Set "
            "site_airflow_version back, run with that host, or take it out of the group airflow_scheduler if it does "
            "not come back."
        )


def _left_out(facts: Facts) -> Iterator[str]:
    """Refuse an upgrade of some hosts while others are in service: old components on a new schema, or a new API."""
    given = as_mapping(facts["left_out"], "left_out")
    wanted, named = str(given.get("wanted")), as_list(given.get("named") or [], "preflight_out_of_service")
    said = {
        host: as_mapping(answer, f"left_out.hosts.{host}")
        for host, answer in as_mapping(given.get("hosts"), "left_out.hosts").items()
        if host not in named
    }
    found = f"site_airflow_version is {wanted}, and"
    serving = {host: answer.get("installed_version") for host, answer in said.items() if not answer.get("drained")}
    behind = {host: version for host, version in serving.items() if version and version != wanted}
    if behind:
        hosts, versions = " and ".join(behind), " and ".join(sorted(set(behind.values())))
        yield (
            f"{found} {hosts}, left out by --limit, would stay in service with {versions}. Run without --limit; or "
            f"take out of service first what is to wait (playbooks/drain.yml --limit {','.join(behind)}): "
            "playbooks/undrain.yml then gives it the new release."
        )
    silent = [host for host, version in serving.items() if version is None]
    # A host that is new to a site with dead ones is no upgrade.
    if silent and any(as_list(given.get("installed"), "left_out.installed")):
        yield (
            f"{found} {' and '.join(silent)}, which the run leaves out, does not answer and may be in service with "
            "another version. Bring it back; or, if it is off or drained, say so by "
            f"-e '{{\"preflight_out_of_service\": {json.dumps(silent)}}}', and run site.yml when it comes back."
        )


def _overlooked(facts: Facts) -> Iterator[str]:
    # Not read any more, because components could once write it.
    yield (
        f"{_here(facts)}{facts['overlooked']} would be overlooked. Give its content, and the passwords in it, by the "
        "variables airflow_webserver_config*, and remove the file."
    )


def _open_ways(facts: Facts) -> Iterator[str]:
    for variable, path, directory, who in _rows(facts, "open_ways", ("variable", "path", "directory", "who")):
        yield (
            f"{_here(facts)}{variable} is {path}, and {who} may write {directory}, and so lead root anywhere. Give it "
            f"to root alone (chown root {directory} && chmod go-w {directory}), or set {variable} to another one. "
            f"Where the storage's server does not let root do that (root_squash), mount an export of its own at {path}."
        )


def _clocks(facts: Facts) -> Iterator[str]:
    offsets = as_mapping(facts["clock_offsets"], "clock_offsets")
    ordered = sorted((as_number(offset, f"clock_offsets.{host}"), host) for host, offset in offsets.items())
    limit = as_number(facts.get("max_clock_skew", _MAX_CLOCK_SKEW), "max_clock_skew")
    if ordered and ordered[-1][0] - ordered[0][0] > limit:
        yield (
            f"The clocks of {ordered[0][1]} and {ordered[-1][1]} are {ordered[-1][0] - ordered[0][0]:.1f} s apart, and "
            f"{limit} s are allowed. Synchronise them (chrony); Airflow refuses tokens from a clock that is off."
        )


def _machine_ids(facts: Facts) -> Iterator[str]:
    """Refuse clones: machine ids (machine-id(5)) that several hosts have, or that are none. They are told to nobody."""
    hosts: dict[str, list[str]] = {}
    for host, machine_id in as_mapping(facts["machine_ids"], "machine_ids").items():
        hosts.setdefault(str(machine_id or "uninitialized"), []).append(host)
    remedy = "`rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup`, and reboot"
    if unset := hosts.pop("uninitialized", []):
        yield (
            f"{' and '.join(unset)}: there is no machine id in /etc/machine-id, which journal and DHCP need. Run there "
            f"{remedy}."
        )
    for clones in hosts.values():
        if len(clones) > 1:
            yield (
                f"{' and '.join(clones)} have the same machine id in /etc/machine-id, so they are clones of one image, "
                f"or one machine: DHCP may give them one address. Run on each but {clones[0]} {remedy}."
            )


def _identifier_problem(name: str, kind: object) -> str:
    if not name:
        return "is empty"
    if len(name.encode(errors="surrogatepass")) > _MAX_IDENTIFIER_BYTES:
        return f"is longer than PostgreSQL's {_MAX_IDENTIFIER_BYTES} bytes"
    if _BAD_IDENTIFIER.search(name) or (kind == "database" and not _DATABASE_NAME.match(name)):
        return "contains characters that do not work in names, connection URIs and pg_hba.conf"
    if kind != "role" and name in _RESERVED_DATABASES:
        return "is reserved by PostgreSQL or has a meaning of its own in pg_hba.conf"
    if kind != "database" and (name in _RESERVED_ROLES or name.startswith("pg_")):
        return "is reserved by PostgreSQL for its own roles or has a meaning of its own in pg_hba.conf"
    return ""


def _postgresql_names(facts: Facts) -> Iterator[str]:
    postgresql = as_mapping(facts["postgresql"], "postgresql")
    for entry in as_list(postgresql.get("names"), "postgresql.names"):
        given = as_mapping(entry, "each of postgresql.names")
        for value in as_list(given.get("values", [given.get("value")]), "values of postgresql.names"):
            name = "" if value is None else str(value)
            if problem := _identifier_problem(name, given.get("kind")):
                yield f"{given.get('variable')}: the name {name!r} {problem}. Use letters, digits and underscores."


def _systemd_names(facts: Facts) -> Iterator[str]:
    for variable, value in _rows(facts, "systemd_names", ("variable", "value")):
        name = "" if value is None else str(value)
        if not _SYSTEMD_NAME.match(name):
            yield f"{variable}: systemd refuses {name!r} in a unit's name. Use letters, digits, '_', '.' and '-'."
        elif len(f"airflow-worker@{name}.service") > _MAX_UNIT_NAME:
            yield f"{variable}: with {len(name)} characters the unit's name exceeds {_MAX_UNIT_NAME}. Shorten it."


def _is_whole(value: object, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _slots_problem(worker: Mapping[str, Any]) -> str:
    concurrency, autoscale = worker.get("concurrency"), worker.get("autoscale")
    if concurrency is not None and autoscale is not None:
        return "has both concurrency and autoscale. Keep one of them"
    if concurrency is not None and not _is_whole(concurrency, 1):
        return f"has the concurrency {concurrency!r}. Set it to a whole number, at least 1"
    if autoscale is None:
        return ""
    bounds: Mapping[str, Any] = autoscale if isinstance(autoscale, Mapping) else {}
    if not _is_whole(bounds.get("min"), 0) or not _is_whole(bounds.get("max"), 1):
        return "needs autoscale.min and autoscale.max. Set them to whole numbers, the maximum at least 1"
    return "has autoscale.min above autoscale.max. Exchange them" if bounds["min"] > bounds["max"] else ""


def _workers(facts: Facts) -> Iterator[str]:
    workers = [as_mapping(worker, "each of workers") for worker in as_list(facts["workers"], "workers")]
    names = [str(worker.get("name") or "") for worker in workers]
    for name, count in Counter(names).items():
        if not name:
            yield f"{_here(facts)}site_workers: a worker has no name. Give it one."
        elif count > 1:
            yield f"{_here(facts)}site_workers: {count} workers have the name {name}. Names must differ on a host."
    for name, worker in zip(names, workers, strict=True):
        queues = as_list(worker.get("queues") or [], "queues of site_workers")
        if not queues:
            yield f"{_here(facts)}site_workers: the worker {name} has no queues. List one at least."
        for queue in queues:
            if not _QUEUE_NAME.match(str(queue)):
                yield f"{_here(facts)}site_workers: a queue cannot be named {queue!r}. Use letters, digits and '_'."
        if problem := _slots_problem(worker):
            yield f"{_here(facts)}site_workers: the worker {name} {problem}."


def _networks(values: object) -> Iterator[tuple[object, Any]]:
    """Yield each value with its network; none, if it is no address or network."""
    for value in as_list(values, "firewall.ssh_sources"):
        try:
            yield value, ipaddress.ip_network(str(value), strict=False)
        except ValueError:
            yield value, None


def _firewall(facts: Facts) -> Iterator[str]:
    firewall = as_mapping(facts["firewall"], "firewall")
    port, networks = firewall.get("ssh_port"), dict(_networks(firewall.get("ssh_sources") or []))
    for value in [value for value, network in networks.items() if network is None]:
        yield (
            f"{_here(facts)}firewall_ssh_sources: {value!r} is neither an address nor a network. Write it like "
            "192.0.2.10 or 192.0.2.0/24."
        )
    connection = as_list(firewall.get("connection") or [], "firewall.connection")
    # sshd writes UNKNOWN where a connection does not come by IP.
    if len(connection) != _SSH_CONNECTION_FIELDS or not ip(connection[0]):
        return
    source, server_port = ipaddress.ip_address(str(connection[0])), str(connection[3])
    if networks and not any(network and source in network for network in networks.values()):
        yield (
            f"{_here(facts)}firewall_ssh_sources: the controller connects from {source}, which is none of "
            f"{', '.join(map(str, networks))}: the firewall would lock it out. Add its address or its network."
        )
    if server_port != str(port):
        yield (
            f"{_here(facts)}firewall_ssh_port is {port}, and the controller is connected to port {server_port}: the "
            f"firewall would lock it out. Set firewall_ssh_port to {server_port}."
        )


def _leaving(facts: Facts) -> Iterator[str]:
    leaving = as_mapping(facts["leaving"], "leaving")
    names = [str(name) for name in as_list(leaving.get("components"), "leaving.components")]
    lost = [name for name in names if name in as_list(leaving.get("holds_data"), "leaving.holds_data")]
    if refused := [name for name in lost if name not in as_list(leaving.get("allowed"), "leaving.allowed")]:
        yield (
            f"{_here(facts)}{' and '.join(refused)} would leave the host, with data that the site does not have "
            "elsewhere. Put the host back into the group; or, if nothing needs them any more, run this again with "
            f"-e '{{\"preflight_leaving_allowed\": {json.dumps(refused)}}}'."
        )
    tags = set(as_list(leaving.get("tags", []), "leaving.tags"))
    if names and tags & _NO_REMOVAL and not tags & _REMOVAL:
        yield (
            f"{_here(facts)}{' and '.join(names)} would leave the host, and this run's tags do not stop it. Run "
            "site.yml without tags first."
        )


def _fixed(facts: Facts) -> Iterator[str]:
    fixed = as_mapping(facts["fixed"], "fixed")
    recorded = as_mapping(fixed.get("recorded") or {}, "fixed.recorded")
    for name, wanted in as_mapping(fixed.get("wanted"), "fixed.wanted").items():
        if name in recorded and recorded[name] != wanted:
            yield (
                f"{_here(facts)}{name} is {wanted!r}, and the site was installed with {recorded[name]!r}, which no run "
                'changes. Set it back, or see docs/operations.md, "A value that no run changes".'
            )


def _drained(facts: Facts) -> Iterator[str]:
    drained = as_mapping(facts["drained"], "drained")
    yield (
        f"{_here(facts)}the host is drained since {drained.get('since')}: {drained.get('reason')}. Take it back by "
        f"playbooks/undrain.yml, or leave it out by --limit '!{facts.get('host')}'."
    )


def _database(facts: Facts) -> Iterator[str]:
    database = as_mapping(facts["database"], "database")
    number = int(as_number(database.get("version_num"), "database.version_num"))
    minimum = int(as_number(database.get("minimum"), "database.minimum"))
    # server_version_num is major * 10000 + minor since PostgreSQL 10.
    if number // 10000 < minimum:
        yield (
            f"site_database_host: the server is PostgreSQL {number // 10000}.{number % 10000}, and this Airflow "
            f"needs {minimum} or newer. Upgrade the server or choose another one."
        )
    if database.get("pooled"):
        yield (
            "site_database_host: what answers there pools transactions, as PgBouncer with pool_mode = transaction "
            "does: the lock of a migration would stay for ever, and prepared statements be lost. Name PostgreSQL "
            "itself in site_database_host and site_database_port, or set pool_mode = session there."
        )
    if (encoding := database.get("encoding", "UTF8")) != "UTF8":
        yield (
            f"site_database_name: the database has the encoding {encoding}, and Airflow writes UTF8. Make another one "
            "there by CREATE DATABASE ... ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0."
        )


def _stores(facts: Facts) -> Iterator[str]:
    stores = as_mapping(facts["stores"], "stores")
    yield from store_problems(stores.pop("seen", {}), {"host": facts.get("host"), **stores})


def _postgresql_version(facts: Facts) -> Iterator[str]:
    found = as_mapping(facts["postgresql_clusters"], "postgresql_clusters")
    clusters = as_mapping(found.get("clusters"), "postgresql_clusters.clusters")
    wanted, running = str(found.get("wanted")), [name for name, start in clusters.items() if start == "auto"]
    # Of a system that is unknown no version can be wanted: another check names it.
    if not wanted or wanted in running or not set(clusters) - {wanted}:
        return
    if not running:
        yield (
            f"{_here(facts)}no cluster of PostgreSQL starts with the host, and there are those of "
            f"{' and '.join(sorted(clusters))}: an upgrade was interrupted. Run playbooks/postgresql_upgrade.yml again."
        )
    else:
        yield (
            f"{_here(facts)}site_postgresql_version: PostgreSQL {' and '.join(running)} runs, and {wanted} is wanted, "
            "which would be an empty database beside it. Run playbooks/postgresql_upgrade.yml, or set "
            f'site_postgresql_version to "{running[0]}".'
        )


_CHECKS: tuple[tuple[tuple[str, ...], Callable[[Facts], Iterator[str]]], ...] = (
    (("site_problems",), lambda facts: _findings(facts, "site_problems")),
    (("workers",), _workers),
    (("systemd_names",), _systemd_names),
    (("postgresql",), _postgresql_names),
    (("clock_offsets",), _clocks),
    (("machine_ids",), _machine_ids),
    (("os",), _system),
    (("python",), _python),
    (("airflow",), _lock),
    (("version_problems",), lambda facts: _findings(facts, "version_problems")),
    (("release_change",), _release_change),
    (("left_out",), _left_out),
    (("overlooked",), _overlooked),
    (("override_problems",), lambda facts: _findings(facts, "override_problems")),
    (("override_secret_problems",), lambda facts: _findings(facts, "override_secret_problems")),
    (("bundle_problems",), lambda facts: _findings(facts, "bundle_problems")),
    (("edge_problems",), lambda facts: _findings(facts, "edge_problems")),
    (("remote_logs_problems",), lambda facts: _findings(facts, "remote_logs_problems")),
    (
        ("remote_logs_answer",),
        lambda facts: (_here(facts) + problem for problem in _findings(facts, "remote_logs_answer")),
    ),
    (("certificate_problems",), lambda facts: _findings(facts, "certificate_problems")),
    (("authority_problems",), lambda facts: _findings(facts, "authority_problems")),
    (("secret_problems",), lambda facts: _findings(facts, "secret_problems")),
    (("secret_loss_problems",), lambda facts: _findings(facts, "secret_loss_problems")),
    (("unreached",), lambda facts: _findings(facts, "unreached")),
    (("stores",), _stores),
    (("external_logins",), lambda facts: iter(login_problems(**facts["external_logins"]))),
    (("people_problems",), lambda facts: (_here(facts) + problem for problem in _findings(facts, "people_problems"))),
    (("broker_login",), lambda facts: iter(broker_problems(facts["broker_login"]))),
    (("remote_stores",), lambda facts: iter(plaintext_problems(facts["remote_stores"]))),
    (("disk",), _disk),
    (("open_ways",), _open_ways),
    (("host_problems",), lambda facts: (_here(facts) + problem for problem in _findings(facts, "host_problems"))),
    (("firewall",), _firewall),
    (("egress_problems",), lambda facts: (_here(facts) + problem for problem in _findings(facts, "egress_problems"))),
    (("drained",), _drained),
    (("leaving",), _leaving),
    (("fixed",), _fixed),
    (("database",), _database),
    (("postgresql_clusters",), _postgresql_version),
)
_KNOWN = sorted({"host", "max_clock_skew", *(key for keys, _ in _CHECKS for key in keys)})


def preflight_problems(facts: object) -> list[str]:
    """
    List what is wrong with one host and the site; each message names the place, the finding and the remedy.

    Example: `{'host': 'w1', 'os': {'distribution': 'Debian', 'version': '11'}} | preflight_problems`. A check whose
    facts are absent or null does not run. Raises AnsibleFilterError on unknown facts, which would silently switch a
    check off, and on wrong types.
    """
    given = {key: value for key, value in as_mapping(facts, "the facts").items() if value is not None}
    if unknown := sorted(set(as_mapping(facts, "the facts")) - set(_KNOWN)):
        raise AnsibleFilterError(f"preflight_problems: unknown fact '{unknown[0]}'; known: {', '.join(_KNOWN)}")
    found = [problem for keys, check in _CHECKS if all(key in given for key in keys) for problem in check(given)]
    return list(dict.fromkeys(found))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {"preflight_problems": preflight_problems}
