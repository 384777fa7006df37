"""The options of Celery's transport that keep the workers of different names apart in the broker."""

from __future__ import annotations


def transport_options(worker: str, database: int | str) -> dict[str, str]:
    """Return what the workers of a name have for themselves: their channel and their keys of unacknowledged messages.

    Sources: kombu 5.6, kombu/transport/redis.py (`unacked_key`, `unacked_index_key`, `unacked_mutex_key`,
    `fanout_prefix`, which for `_receive_one` ends at its first dot: one of the name is a comma, which no name has).
    """
    return {
        "fanout_prefix": f"/{database}/{worker.replace('.', ',')}.",
        "unacked_key": f"unacked.{worker}",
        "unacked_index_key": f"unacked_index.{worker}",
        "unacked_mutex_key": f"unacked_mutex.{worker}",
    }


def looking_options(worker: str, database: int | str) -> dict[str, str]:
    """Return what Flower has to look at the workers of a name: their channel, and keys of its own.

    Theirs hold messages. No worker's name has a comma.
    """
    own = {key: f"{value},flower" for key, value in transport_options(worker, database).items()}
    return own | {"fanout_prefix": transport_options(worker, database)["fanout_prefix"]}
