"""Connection URIs: what is put in comes out again."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from ansible.errors import AnsibleFilterError
from connection_uri import connection_uri
from hypothesis import given
from hypothesis import strategies as st

DATABASE = {"scheme": "postgresql+psycopg2", "user": "airflow", "password": "x", "host": "db1", "path": "airflow"}


@pytest.mark.parametrize(
    ("parts", "uri"),
    [
        (DATABASE, "postgresql+psycopg2://airflow:x@db1/airflow"),
        (DATABASE | {"port": 5432}, "postgresql+psycopg2://airflow:x@db1:5432/airflow"),
        (
            DATABASE | {"port": "5432", "password": "a:b/c@d%e?f#g h"},
            "postgresql+psycopg2://airflow:a%3Ab%2Fc%40d%25e%3Ff%23g%20h@db1:5432/airflow",
        ),
        (DATABASE | {"scheme": "db+postgresql+psycopg2"}, "db+postgresql+psycopg2://airflow:x@db1/airflow"),
        (
            DATABASE | {"query": {"sslmode": "verify-full", "sslrootcert": "/etc/ca b.crt"}},
            "postgresql+psycopg2://airflow:x@db1/airflow?sslmode=verify-full&sslrootcert=%2Fetc%2Fca%20b.crt",
        ),
        (
            DATABASE | {"host": None, "query": {"host": "/run/postgresql"}},
            "postgresql+psycopg2://airflow:x@/airflow?host=%2Frun%2Fpostgresql",
        ),
        (
            {"scheme": "redis", "user": "airflow", "password": "p", "host": "fd00::1", "port": 6379, "path": 0},
            "redis://airflow:p@[fd00::1]:6379/0",
        ),
        ({"scheme": "redis", "password": "p", "host": "10.0.0.1"}, "redis://:p@10.0.0.1"),
        ({"scheme": "redis", "host": "r", "path": "a/b", "query": {"x": None}}, "redis://r/a%2Fb"),
        ({"scheme": "redis", "user": "u", "host": "r", "query": {}}, "redis://u@r"),
    ],
)
def test_uri(parts: dict[str, Any], uri: str) -> None:
    assert connection_uri(parts) == uri


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("redis://", "the parts must be a mapping, found str"),
        ({"scheme": "redis", "username": "x"}, "unknown part 'username'; known are scheme, user"),
        ({}, "'scheme' must be like"),
        ({"scheme": "Redis"}, "'scheme' must be like .* found 'Redis'"),
        (DATABASE | {"scheme": "postgresql"}, "names no driver"),
        (DATABASE | {"scheme": "db+postgresql"}, "names no driver"),
        (DATABASE | {"scheme": "postgres+psycopg2"}, r"write postgresql\+psycopg2"),
        (DATABASE | {"path": "my db"}, "SQLAlchemy 2.0 cannot read the database name 'my db'"),
        (DATABASE | {"host": "db1/x"}, "'host' must be a name or an address, found 'db1/x'"),
        (DATABASE | {"host": "db1\n"}, "'host' must be a name or an address"),
        (DATABASE | {"port": 0}, "'port' must be between 1 and 65535"),
        (DATABASE | {"port": "54x"}, "'port' must be between 1 and 65535"),
        (DATABASE | {"host": "", "port": 5432}, "needs a host"),
        (DATABASE | {"query": "a=b"}, "'query' must be a mapping, found str"),
        (DATABASE | {"query": {"a": True}}, "'a' must be a string, found bool"),
    ],
)
def test_bad_parts(parts: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        connection_uri(parts)


def test_a_refused_password_is_not_printed() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        connection_uri(DATABASE | {"password": ["hunter2-hunter2"]})
    assert "hunter2" not in str(caught.value)
    assert "'password' must be a string, found list" in str(caught.value)


text = st.text(st.characters(codec="utf-8"), min_size=1)
names = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)
hosts = names | st.ip_addresses().map(str)


@given(
    st.fixed_dictionaries(
        {
            "scheme": st.sampled_from(["redis", "rediss", "sentinel"]),
            "user": text,
            "password": text,
            "host": hosts,
            "port": st.integers(1, 65535),
            "path": text,
            "query": st.dictionaries(text, text, max_size=3),
        }
    )
)
def test_any_broker_uri_parses_back(parts: dict[str, Any]) -> None:
    split = urlsplit(connection_uri(parts))
    assert split.scheme == parts["scheme"]
    assert unquote(split.username or "") == parts["user"]
    assert unquote(split.password or "") == parts["password"]
    assert split.hostname == parts["host"].lower()
    assert split.port == parts["port"]
    assert unquote(split.path[1:]) == parts["path"]
    assert dict(parse_qsl(split.query, keep_blank_values=True)) == parts["query"]


@given(text, text, st.from_regex(r"[a-z_][a-z0-9_]{0,30}", fullmatch=True))
def test_any_login_of_a_database_parses_back(user: str, password: str, database: str) -> None:
    split = urlsplit(connection_uri(DATABASE | {"user": user, "password": password, "path": database}))
    assert unquote(split.username or "") == user
    assert unquote(split.password or "") == password
    assert split.path == f"/{database}"


@given(text)
def test_a_uri_is_one_line_of_ascii(password: str) -> None:
    uri = connection_uri(DATABASE | {"password": password})
    assert uri.isascii()
    assert uri.isprintable()
    assert " " not in uri
