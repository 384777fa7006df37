"""Checks of databases and brokers that are not ours alone, for the filter preflight_problems."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_PLACE_KEYS = frozenset({"host", "known_databases", "own_databases", "postgresql_allowed", "redis_allowed"})
_REMOTE_KEYS = frozenset({"database", "broker"})
# Without a check of the name, any certificate of a trusted authority would do: that is for an authority of one's own.
_VERIFIED = ("verify-ca", "verify-full")
_CERTIFICATE_NEEDED = ("required", "CERT_REQUIRED")

# What libpq itself says, in the controller's language, where it has not come to a server, or not to one that it knows:
# authorities in base_ca_certificates are the hosts', and not the controller's. All else a server has said, in its own
# language.
_NO_SERVER = re.compile(
    "Connection refused|timeout expired|could not translate host name|No route to host|Network is unreachable|timed out"
    "|certificate verify failed|root certificate file .* does not exist"
)

Facts = Mapping[str, Any]


def _facts(value: object, keys: frozenset[str], what: str) -> Facts:
    if not isinstance(value, Mapping) or set(value) != keys:
        raise AnsibleFilterError(f"{what}: the facts have to be {', '.join(sorted(keys))}")
    return value


def _held_by_postgresql(seen: Facts, known: list[str]) -> Iterator[str]:
    foreign = [name for name in seen["databases"] if name not in known]
    if foreign:
        yield f"holds the databases {', '.join(foreign)}"
    if seen["files"] and not seen["answers"]:
        yield f"holds {seen['files']} databases, and does not answer"
    if seen["access"]:
        yield f"has lines in pg_hba.conf that would be lost ({'; '.join(seen['access'])})"


def _other_encodings(seen: Facts, own: list[str]) -> Iterator[str]:
    for name, encoding in seen["databases"].items():
        if name in own and encoding != "UTF8":
            yield (
                f"the database {name} has the encoding {encoding}, and Airflow writes UTF8. Dump it, and restore it "
                "into one that is made by CREATE DATABASE ... ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0; or "
                "give the site another name for its database (site_database_name, site_results_database_name)."
            )


def _held_by_redis(seen: Facts) -> Iterator[str]:
    if seen["keys"]:
        yield f"holds {seen['keys']} keys"
    if seen["files"] and not seen["answers"]:
        yield f"does not answer without a password, and has data in {', '.join(seen['files'])}"
    if seen["changed"]:
        yield "has a configuration that differs from its package's"


def store_problems(seen: object, place: object) -> list[str]:
    """
    Say which servers of a host somebody else has set up and uses, unless they may be taken over.

    `seen` is what the module site_host_facts returns as `stores`, for example `{'redis': {'answers': True, 'keys': 3,
    'files': [], 'changed': False}}`; of a server that is Airstrip's there is nothing in it. `place` has the `host`, the
    names of databases whose users are in the inventory (`known_databases`), those that are to be Airstrip's
    (`own_databases`), and `postgresql_allowed` and `redis_allowed`, whether they may be
    taken over. Raises AnsibleFilterError on wrong facts.
    """
    given = _facts(place, _PLACE_KEYS, "store_problems")
    if not isinstance(seen, Mapping):
        raise AnsibleFilterError(f"store_problems: cannot read a {type(seen).__name__}")
    found = []
    postgresql, redis = seen.get("postgresql"), seen.get("redis")
    if postgresql and not given["postgresql_allowed"]:
        held = " and ".join(_held_by_postgresql(postgresql, list(given["known_databases"])))
        remedy = (
            "This site's configuration would take its place, and its users be locked out. Name each database and who "
            "may connect in site_database_extra_clients, set postgresql_takeover_allowed to true, or take another host"
        )
        found += [f"{given['host']}: a PostgreSQL that Airstrip has not set up {held}. {remedy}."] if held else []
    if postgresql:
        own = list(given["own_databases"])
        found += [f"{given['host']}: {problem}" for problem in _other_encodings(postgresql, own)]
    if redis and not given["redis_allowed"]:
        held = " and ".join(_held_by_redis(redis))
        remedy = (
            "This site's configuration would take its place, and its users be locked out. Set redis_takeover_allowed "
            "to true, which keeps the keys, or take another host"
        )
        found += [f"{given['host']}: a Redis that Airstrip has not set up {held}. {remedy}."] if held else []
    return found


def _is_here(host: object) -> bool:
    try:
        return ipaddress.ip_address(str(host).strip("[]")).is_loopback
    except ValueError:
        return str(host) == "localhost"


def plaintext_problems(stores: object) -> list[str]:
    """
    Say where passwords would go to a database or a broker outside of the inventory without TLS that is checked.

    Each is a mapping with `external`, `host`, `verified` (whatever of it the variables say) and `plain_allowed`.
    Loopback addresses pass. Raises AnsibleFilterError on wrong facts.
    """
    given = _facts(stores, _REMOTE_KEYS, "plaintext_problems")
    remedies = {
        "database": "Set airflow_database_options to {sslmode: verify-full, sslrootcert: FILE}",
        "broker": "Set airflow_broker_tls_enabled to true, and airflow_broker_options to "
        "{ssl_cert_reqs: required, ssl_ca_certs: FILE, ssl_check_hostname: 'true'}",
    }
    return [
        f"site_{name}_host: the password and all data would go to {store['host']} by a connection that is not "
        f"encrypted, or not checked. {remedies[name]}, or site_plain_{name}_allowed to true if that is meant."
        for name, store in sorted(given.items())
        if store["external"]
        and not store["plain_allowed"]
        and not _is_here(store["host"])
        and store["verified"] not in (*_VERIFIED, *_CERTIFICATE_NEEDED)
    ]


# What a broker says to a login that is none, and what to do. Redis speaks English alone.
_LOGINS = (
    (
        "without any password configured",
        "It has no password: set {password} to '', and {open} to true if that is meant",
    ),
    ("wrong number of arguments", "Before version 6 it knows no users: set {user} to ''"),
    ("DB index|invalid DB", "Set site_broker_database to one that it has"),
    ("DENIED", "It lets nobody in from another host: give it a password, and set {password} to that"),
    ("unknown command|not answer as a Redis", "Set site_broker_host and site_broker_port to those of a Redis"),
    ("closes the connection|ConnectionReset", "If it speaks TLS, set airflow_broker_tls_enabled to true"),
    ("", "Correct {user} ('' for a server that knows a password alone) or {password}"),
)
_MODES = {"sentinel": "a Sentinel", "cluster": "a Redis Cluster"}
_BROKER_KEYS = frozenset({"host", "inventory_host", "user", "database", "answer"})


def broker_problems(broker: object) -> list[str]:
    """
    Say why a host cannot use an external broker, by what the module broker_login returned there (`answer`).

    `broker` has `host`, that of the broker, `inventory_host`, the one that asked, `user` and `database`. A broker that
    does not answer at all is not judged. Raises AnsibleFilterError on wrong facts.
    """
    given = _facts(broker, _BROKER_KEYS, "broker_problems")
    answer, host = given["answer"], given["host"]
    error = "".join(letter for letter in str(answer.get("error") or "") if letter.isprintable())[:150].strip()
    if answer.get("mode") in _MODES:
        return [
            f"site_broker_host: {host} is {_MODES[answer['mode']]}, which is not supported. Name the server that is "
            "written to, or a proxy before it."
        ]
    if answer.get("role") == "slave":
        return [f"site_broker_host: {host} is a replica, which cannot be written to. Name the one that it follows."]
    if not error or answer.get("stage") == "connection":
        return []
    if answer.get("stage") == "tls":
        return [
            f"{given['inventory_host']}: site_broker_host: no TLS with {host}: {error}. Correct "
            "airflow_broker_options, put the certificate of its authority into base_ca_certificates, or, if it speaks "
            "no TLS, set airflow_broker_tls_enabled to false."
        ]
    names = {"user": "site_broker_user", "password": "airflow_broker_password", "open": "site_open_broker_allowed"}
    remedy = next(remedy for pattern, remedy in _LOGINS if re.search(pattern, error)).format_map(names)
    who = f"the user {given['user']}" if given["user"] else "somebody without a user's name"
    return [
        f"site_broker_host: {host} does not let {who} use the database {given['database']}: {error.rstrip('.')}. "
        f"{remedy}."
    ]


def login_problems(logins: object, host: str) -> list[str]:
    """
    Say which logins of a site an external database does not let in, or lacks what they need, with the SQL to make it.

    `logins` have by name (metadata, results, results_view) `database`, `user`, the `variable` of its password, and in
    `answer` what the module community.postgresql.postgresql_query returned, on the controller, for a row with `ready`.
    A server that the controller cannot reach, or whose authority it does not know, is not judged. Raises
    AnsibleFilterError on wrong facts.
    """
    problems = []
    for name, given in _facts(logins, frozenset({"metadata", "results", "results_view"}), "login_problems").items():
        login = _facts(given, frozenset({"database", "user", "variable", "answer"}), f"login_problems: {name}")
        answer, database, user = login["answer"], login["database"], login["user"]
        rows, message = answer.get("query_result") or [], " ".join(str(answer.get("msg") or "").split())
        make = f'CREATE ROLE "{user}" LOGIN PASSWORD \'...\'; CREATE DATABASE "{database}"'
        script = "roles/postgresql/files/celery_results.sql, which says how it is run, makes the rest"
        if rows and not rows[0]["ready"]:
            problems.append(
                f"site_results_database_name: the database {database} on {host} is not made for Celery's results. "
                f"{script}."
            )
        elif message and not rows and not _NO_SERVER.search(message):
            more = f' OWNER "{user}";' if name == "metadata" else f"; {script}"
            problems.append(
                f"site_database_host: {host} does not let {user} into the database {database}: {message}. Correct "
                f"{login['variable']}, or make them there: {make}{more}"
            )
    return problems
