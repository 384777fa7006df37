"""Databases and brokers that are not a site's alone."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.store_checks import (
    broker_problems,
    plaintext_problems,
    store_problems,
)

PLACE: dict[str, Any] = {
    "host": "data-1",
    "known_databases": ["airflow", "theirs"],
    "own_databases": ["airflow"],
    "postgresql_allowed": False,
    "redis_allowed": False,
}
# As a package leaves them, and as an installation by hand does that is to be adopted.
POSTGRESQL: dict[str, Any] = {
    "version": "15", "answers": True, "databases": {"airflow": "UTF8", "theirs": "LATIN1"}, "files": 1, "access": [],
}  # fmt: skip
REDIS: dict[str, Any] = {"answers": True, "keys": 0, "files": ["/var/lib/redis/dump.rdb"], "changed": False}


@pytest.mark.parametrize("seen", [{}, {"postgresql": {}, "redis": {}}, {"postgresql": POSTGRESQL, "redis": REDIS}])
def test_what_nobody_else_uses_passes(seen: dict[str, Any]) -> None:
    assert store_problems(seen, PLACE) == []


@pytest.mark.parametrize(
    ("seen", "allowed", "parts"),
    [
        (
            {"postgresql": POSTGRESQL | {"databases": {"airflow": "UTF8", "shop": "UTF8", "wiki": "LATIN1"}}},
            "postgresql_allowed",
            (
                "data-1: a PostgreSQL",
                "the databases shop, wiki.",
                "site_database_extra_clients",
                "postgresql_takeover_a",
            ),
        ),
        (
            {"postgresql": POSTGRESQL | {"databases": {}, "answers": False}},
            "postgresql_allowed",
            ("holds 1 databases, and does not answer", "postgresql_takeover_allowed"),
        ),
        (
            {"postgresql": POSTGRESQL | {"access": ["host shop shop 10.0.0.0/8 md5"]}},
            "postgresql_allowed",
            ("lines in pg_hba.conf that would be lost (host shop shop 10.0.0.0/8 md5)", "postgresql_takeover_allowed"),
        ),
        (
            {"redis": REDIS | {"keys": 3}},
            "redis_allowed",
            ("data-1: a Redis", "holds 3 keys", "redis_takeover_allowed"),
        ),
        (
            {"redis": REDIS | {"answers": False}},
            "redis_allowed",
            ("without a password, and has data in /var/lib/redis/dump.rdb", "redis_takeover_allowed"),
        ),
        ({"redis": REDIS | {"changed": True}}, "redis_allowed", ("differs from its package's", "redis_takeover_al")),
    ],
)
def test_what_others_use_is_refused_unless_the_variable_says_so(
    seen: dict[str, Any], allowed: str, parts: tuple[str, ...]
) -> None:
    (problem,) = store_problems(seen, PLACE)
    assert [part for part in parts if part not in problem] == []
    assert store_problems(seen, PLACE | {allowed: True}) == []


@pytest.mark.parametrize("allowed", [True, False])
def test_an_own_database_of_another_encoding_is_refused(allowed: bool) -> None:
    seen = {"postgresql": POSTGRESQL | {"databases": {"airflow": "LATIN1"}}}
    (problem,) = store_problems(seen, PLACE | {"postgresql_allowed": allowed})
    assert problem.startswith("data-1: the database airflow has the encoding LATIN1, and Airflow writes UTF8. Dump it")
    assert "site_database_name" in problem


@pytest.mark.parametrize("place", [None, {}, PLACE | {"other": 1}])
def test_other_facts_about_the_place_are_refused(place: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="store_problems: the facts have to be"):
        store_problems({}, place)


HERE = {"external": False, "host": "192.0.2.1", "verified": "", "plain_allowed": False}


@pytest.mark.parametrize(
    "store",
    [
        HERE,
        HERE | {"external": True, "host": "127.0.0.1"},
        HERE | {"external": True, "host": "::1"},
        HERE | {"external": True, "host": "localhost"},
        HERE | {"external": True, "verified": "verify-full"},
        HERE | {"external": True, "verified": "required"},
        HERE | {"external": True, "plain_allowed": True},
    ],
)
def test_these_connections_are_fine(store: dict[str, Any]) -> None:
    assert plaintext_problems({"database": store, "broker": store}) == []


@pytest.mark.parametrize("verified", ["", "prefer", "require", "none", "optional"])
@pytest.mark.parametrize("host", ["192.0.2.1", "db.example.com", "localhost.example.com"])
def test_a_password_that_leaves_the_host_in_the_clear_is_refused(host: str, verified: str) -> None:
    store = HERE | {"external": True, "host": host, "verified": verified}
    broker, database = plaintext_problems({"database": store, "broker": store})
    assert broker.startswith(f"site_broker_host: the password and all data would go to {host}")
    assert "airflow_broker_tls_enabled" in broker
    assert "site_plain_broker_allowed" in broker
    assert database.startswith("site_database_host: ")
    assert "sslmode: verify-full" in database
    assert "site_plain_database_allowed" in database


BROKER: dict[str, Any] = {"host": "mq", "inventory_host": "w1", "user": "airflow", "database": 0}
FINE = {"error": "", "stage": "", "mode": "standalone", "role": "master"}


@pytest.mark.parametrize(
    "answer",
    [
        FINE,
        # Its user may not ask for it.
        FINE | {"mode": "", "role": ""},
        # That it does not answer is said elsewhere.
        FINE | {"error": "ConnectionRefusedError: [Errno 111] Connection refused", "stage": "connection"},
    ],
)
def test_a_broker_that_lets_in_is_fine(answer: dict[str, str]) -> None:
    assert broker_problems(BROKER | {"answer": answer}) == []


# The texts are those of Redis 5 to 8, and of OpenSSL.
@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        (
            {"error": "WRONGPASS invalid username-password pair or user is disabled.", "stage": "login"},
            (
                "site_broker_host: mq does not let the user airflow use",
                "Correct site_broker_user",
                "airflow_broker_pass",
            ),
        ),
        (
            {"error": "NOAUTH Authentication required.", "stage": "login"},
            ("NOAUTH", "Correct site_broker_user ('' for", "airflow_broker_password"),
        ),
        (
            {
                "error": "ERR AUTH <password> called without any password configured for the default user. Are you",
                "stage": "login",
            },
            ("It has no password: set airflow_broker_password to ''", "site_open_broker_allowed to true"),
        ),
        (
            {"error": "ERR wrong number of arguments for 'auth' command", "stage": "login"},
            ("Before version 6 it knows no users: set site_broker_user to ''",),
        ),
        (
            {"error": "ERR DB index is out of range", "stage": "login"},
            ("use the database 0: ERR DB", "Set site_broker_database"),
        ),
        ({"error": "it closes the connection", "stage": "login"}, ("set airflow_broker_tls_enabled to true",)),
        (
            {"error": "it does not answer as a Redis does", "stage": "login"},
            ("Set site_broker_host and site_broker_po",),
        ),
        (
            {"error": "SSLCertVerificationError: certificate verify failed", "stage": "tls"},
            ("w1: site_broker_host: no TLS with mq", "airflow_broker_options", "base_ca_certificates"),
        ),
        ({"mode": "sentinel", "role": "sentinel"}, ("site_broker_host: mq is a Sentinel", "Name the server")),
        ({"mode": "cluster"}, ("mq is a Redis Cluster", "Name the server")),
        ({"role": "slave"}, ("mq is a replica", "Name the one that it follows")),
    ],
)
def test_a_broker_that_does_not_let_in_is_refused(answer: dict[str, str], parts: tuple[str, ...]) -> None:
    (problem,) = broker_problems(BROKER | {"answer": FINE | answer})
    assert [part for part in parts if part not in problem] == []
