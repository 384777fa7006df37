"""What keeps the workers of different names apart in the broker."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from broker_access import airflow_broker_rights, airflow_broker_transport, airflow_with_passwords

DATABASE = {"database": 0}


def rights(worker: str, queues: list[str], database: int = 0, **options: str) -> dict[str, Any]:
    """Return what a set of workers may use."""
    user = {"worker": worker, "user": f"w-{worker}", "password": "secret", "queues": queues}
    (found,) = airflow_broker_rights([user], database, {"celery_broker_transport_options": options})
    return found


def may(access: dict[str, Any], kind: str, name: str) -> bool:
    """Whether Redis would let a user with these patterns use a key or channel."""
    return any(fnmatchcase(name, pattern) for pattern in access[kind])


def test_no_two_sets_share_keys_or_channels_of_their_own() -> None:
    first, second = (airflow_broker_transport(name, DATABASE) for name in ("default", "reports"))
    assert first == {
        "fanout_prefix": "/0/default.",
        "unacked_key": "unacked.default",
        "unacked_index_key": "unacked_index.default",
        "unacked_mutex_key": "unacked_mutex.default",
    }
    assert not set(first.values()) & set(second.values())


def test_a_name_with_dots_leaves_the_channel_its_only_one() -> None:
    # kombu takes the prefix off up to the first one.
    prefix = airflow_broker_transport("a.b", {"database": 0})["fanout_prefix"]
    assert prefix == "/0/a,b."
    assert prefix != airflow_broker_transport("a-b", {"database": 0})["fanout_prefix"]


def test_a_set_may_use_its_queues_and_no_others() -> None:
    access = rights("reports", ["mail", "reports"])
    assert (access["name"], access["password"]) == ("w-reports", "secret")
    own = ["mail", "mail\x06\x169", "_kombu.binding.mail", "unacked.reports", "unacked_index.reports"]
    assert [key for key in own if not may(access, "keys", key)] == []
    other = [
        "default",
        "default\x06\x163",
        "mailbox",
        "_kombu.binding.default",
        "unacked",
        "unacked.default",
        "unacked.reports2",
    ]
    assert [key for key in other if may(access, "keys", key)] == []
    assert may(access, "channels", "/0/reports.celery.pidbox")
    assert not may(access, "channels", "/0.celery.pidbox")
    assert not may(access, "channels", "/0/default.celery.pidbox")


def test_a_prefix_and_a_separator_of_the_users_are_heeded() -> None:
    access = rights("a", ["mail"], 3, global_keyprefix="site:", sep="#")
    assert "site:mail#*" in access["keys"]
    assert all(key.startswith("site:") for key in access["keys"])
    assert {"/3/a.celery.pidbox", "site:/3/a.celery.pidbox"} <= set(access["channels"])


@pytest.mark.parametrize("options", [None, {}, "0"])
def test_the_number_of_the_database_is_needed(options: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="need `database`"):
        airflow_broker_transport("a", options)


def test_users_get_their_passwords_in_order() -> None:
    users: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "limit": 1}]
    found = airflow_with_passwords(users, ["1", "2", "3"])
    assert found == [{"name": "a", "password": "1"}, {"name": "b", "limit": 1, "password": "2"}]
    with pytest.raises(AnsibleFilterError, match="1 passwords for 2 users"):
        airflow_with_passwords(users, ["1"])


def test_flower_looks_at_one_set_and_takes_none_of_its_messages() -> None:
    user = {"worker": "reports", "user": "f", "password": "secret", "queues": ["mail"], "looking": True}
    (access,) = airflow_broker_rights([user], 0, {})
    assert access["counted"] == ["mail", "mail\x06\x16*"]
    taken = ["mail", "mail\x06\x163", "_kombu.binding.mail", "unacked.reports", "unacked_index.reports"]
    assert [key for key in taken if may(access, "keys", key)] == []
    assert may(access, "keys", "unacked.reports,flower")
    assert access["channels"] == ["/0/reports.celery.pidbox", "/0/reports.celeryev/worker.*", "/0/reports.celeryev/*"]


def test_workers_tell_of_tasks_where_flower_looks_and_nowhere_else() -> None:
    user = {"worker": "reports", "user": "w", "password": "secret", "queues": ["mail"]}
    plain, watched = airflow_broker_rights([user, user | {"watched": True}], 0, {})
    assert watched["keys"] == plain["keys"]
    assert watched["channels"] == [*plain["channels"], "/0/reports.celeryev/task.*"]
