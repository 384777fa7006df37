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


def _options(options: object) -> dict[str, Any]:
    if not isinstance(options, Mapping) or "database" not in options:
        raise AnsibleFilterError("airflow_broker_transport: the options need `database`, the number of the broker's")
    return dict(options)


def airflow_worker_sets(workers: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """
    Return the queues of each set of workers, both sorted, from the `airflow_workers` of all hosts.

    Example: `[{'name': 'default', 'queues': ['default']}] | airflow_worker_sets` is `{'default': ['default']}`. One
    without a name is left out: preflight, which reads this, refuses it by its host.
    """
    sets: dict[str, set[str]] = {}
    for worker in workers:
        if worker.get("name"):
            sets.setdefault(str(worker["name"]), set()).update(map(str, worker.get("queues") or []))
    return {name: sorted(sets[name]) for name in sorted(sets)}


def airflow_broker_transport(worker: str, options: object) -> dict[str, str]:
    """
    Return the options of Celery's transport that the workers named `worker` have for themselves.

    Example: `'reports' | airflow_broker_transport({'database': 0})`. Raises AnsibleFilterError without a database.
    """
    return {
        "fanout_prefix": f"/{_options(options)['database']}/{worker}.",
        "unacked_key": f"unacked.{worker}",
        "unacked_index_key": f"unacked_index.{worker}",
        "unacked_mutex_key": f"unacked_mutex.{worker}",
    }


def airflow_broker_access(queues: Sequence[str], worker: str, options: object) -> dict[str, list[str]]:
    """
    Return the patterns of keys and channels that the user of the workers named `worker` needs for `queues`.

    Example: `['mail'] | airflow_broker_access('reports', {'database': 0})` is `{'keys': [...], 'channels': [...]}`.
    `options` may have `key_prefix` and `separator`, as Celery's `global_keyprefix` and `sep` are set. Raises
    AnsibleFilterError without a database.
    """
    given = _options(options)
    prefix, separator = given.get("key_prefix") or "", given.get("separator") or _SEPARATOR
    transport = airflow_broker_transport(worker, options)
    fanout = transport.pop("fanout_prefix")
    keys = [key for queue in queues for key in (queue, f"{queue}{separator}*", f"_kombu.binding.{queue}")]
    keys += [*transport.values(), *_COMMON_KEYS]
    # A pattern that is subscribed to has to be the permitted one to the letter. Subscribing knows the prefix of keys,
    # publishing does not.
    channels = [f"{fanout}celery.pidbox", f"{fanout}celeryev/worker.*"]
    channels += [prefix + channel for channel in channels if prefix]
    return {"keys": [prefix + key for key in keys], "channels": channels}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_broker_access": airflow_broker_access,
            "airflow_broker_transport": airflow_broker_transport,
            "airflow_worker_sets": airflow_worker_sets,
        }
