"""
Filters: what keeps the Celery workers of different names apart in the broker.

Workers of one name, on whatever hosts, are one set: they take the same queues with the same user. By default all
consumers of a Redis broker share one hash of messages that are not acknowledged, and one channel for remote control:
who may use them reads other workers' messages, or stops them. So each set has keys and a channel of its own, by the
options of Celery's transport, and a user who may use those and the set's queues only.

Sources: kombu 5.6, kombu/transport/redis.py (`unacked_key`, `unacked_index_key`, `unacked_mutex_key`,
`fanout_prefix`, `_q_for_pri`, `keyprefix_queue`), kombu/pidbox.py and celery/events (names of their exchanges);
Redis' documentation of ACLs. Checked by tasks under `ACL LOG`, and by what another set's user is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.broker_transport import looking_options, transport_options

# Between a queue's name and its priority.
_SEPARATOR = "\x06\x16"
# Bindings of the exchanges that mingle, gossip, events and remote control use, and the queues behind them, whose names
# begin with a random identifier of their process.
_COMMON_KEYS = (
    "_kombu.binding.celery.pidbox",
    "_kombu.binding.reply.celery.pidbox",
    "_kombu.binding.celeryev",
    "*.celery.pidbox*",
    "celeryev.*",
)


def airflow_broker_transport(worker: str, options: object) -> dict[str, str]:
    """
    Return the options of Celery's transport that the workers named `worker` have for themselves.

    Example: `'reports' | airflow_broker_transport({'database': 0})`. Raises AnsibleFilterError without a database.
    """
    if not isinstance(options, Mapping) or "database" not in options:
        raise AnsibleFilterError("airflow_broker_transport: the options need `database`, the number of the broker's")
    return transport_options(worker, options["database"])


def _access(user: Mapping[str, Any], database: int, overrides: Mapping[str, Any]) -> dict[str, list[str]]:
    prefix, separator = overrides.get("global_keyprefix") or "", overrides.get("sep") or _SEPARATOR
    is_looking = bool(user.get("looking"))
    transport = (looking_options if is_looking else transport_options)(str(user["worker"]), database)
    fanout = transport.pop("fanout_prefix")
    queues = [key for queue in user["queues"] for key in (queue, f"{queue}{separator}*")]
    keys = [key for queue in user["queues"] for key in (queue, f"{queue}{separator}*", f"_kombu.binding.{queue}")]
    keys = [] if is_looking else keys
    keys += [*transport.values(), *_COMMON_KEYS]
    # A pattern that is subscribed to has to be the permitted one to the letter. Subscribing knows the prefix of keys,
    # publishing does not.
    channels = [f"{fanout}celery.pidbox", f"{fanout}celeryev/worker.*"]
    # Events of tasks, which workers send where somebody wants them.
    channels += [f"{fanout}celeryev/task.*"] if user.get("watched") else []
    channels += [f"{fanout}celeryev/*"] if is_looking else []
    channels += [prefix + channel for channel in channels if prefix]
    found = {"keys": [prefix + key for key in keys], "channels": channels}
    return found | ({"counted": [prefix + key for key in queues]} if is_looking else {})


def airflow_broker_rights(
    users: Sequence[Mapping[str, Any]], database: int, overrides: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """
    Return the workers' users as the role redis takes them: `name`, `password`, and the `keys` and `channels` they need.

    Example: `[{'worker': 'reports', 'user': 'w-reports', 'password': '...', 'queues': ['mail']}] |
    airflow_broker_rights(0, airflow_config_overrides)`. Celery's options `global_keyprefix` and `sep` count, as
    `airflow_config_overrides` sets them. A user who is `looking` at workers may not take their messages: of their
    queues, `counted`, it may know the length.
    """
    options = overrides.get("celery_broker_transport_options") or {}
    return [
        {"name": user["user"], "password": user["password"], **_access(user, int(database), options)} for user in users
    ]


def airflow_with_passwords(users: Sequence[Mapping[str, Any]], passwords: Sequence[str]) -> list[dict[str, Any]]:
    """
    Return users, each with its password, from two lists in the same order; what the second has more is not used.

    Example: `[{'name': 'airflow'}] | airflow_with_passwords(['...'])`. Raises AnsibleFilterError if there are too few.
    """
    if len(passwords) < len(users):
        raise AnsibleFilterError(f"airflow_with_passwords: {len(passwords)} passwords for {len(users)} users")
    return [{**user, "password": password} for user, password in zip(users, passwords, strict=False)]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_broker_rights": airflow_broker_rights,
            "airflow_broker_transport": airflow_broker_transport,
            "airflow_with_passwords": airflow_with_passwords,
        }
