"""Print how many messages wait in queues of Celery's broker, and which workers answer, as JSON.

Standard input: `url` and `transport_options` of the broker as Celery takes them, `queues`, `workers` (a list of those
that share a channel of remote control: `nodes`, and their own `transport_options`), and `timeout` in seconds. Runs on a
release's Python, which has Celery; Airflow itself would take 4 s to start.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

from celery import Celery
from kombu.exceptions import ChannelError


def length(connection: Any, queue: str) -> int:
    """Return how many messages wait in a queue, of all priorities. One that is empty is not there."""
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except ChannelError:
            return 0


def celery(wanted: dict[str, Any], own: dict[str, Any]) -> Celery:
    """Return a client of the broker, with options of its own for the transport."""
    patience = {"socket_connect_timeout": wanted["timeout"], "socket_timeout": wanted["timeout"]}
    app = Celery(broker=wanted["url"], set_as_current=False)
    app.conf.update(broker_transport_options={**wanted["transport_options"], **own, **patience})
    return app


def lengths(wanted: dict[str, Any]) -> dict[str, int]:
    """Return how many messages wait in each queue."""
    with celery(wanted, {}).connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        return {queue: length(connection, queue) for queue in wanted["queues"]}


def answers(wanted: dict[str, Any], workers: dict[str, Any]) -> list[str]:
    """Return the nodes that answer, of workers that share a channel."""
    nodes, app = workers["nodes"], celery(wanted, workers["transport_options"])
    if not nodes:
        return []
    with app.connection_for_read() as connection:
        found = app.control.ping(nodes, timeout=wanted["timeout"], connection=connection, limit=len(nodes))
        # Celery would leave the queue for the answers bound.
        app.control.mailbox.get_reply_queue().bind(connection.default_channel).delete()
    return [node for answer in found for node in answer]


def ask(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what the broker says."""
    queues = lengths(wanted)
    return {
        "queues": queues,
        "answers": sorted(node for workers in wanted["workers"] for node in answers(wanted, workers)),
    }


def main() -> None:
    """Ask, and print the answers or what went wrong."""
    wanted = json.load(sys.stdin)
    password = unquote(urlsplit(wanted["url"]).password or "")
    try:
        print(json.dumps(ask(wanted)))
    # Whatever it is that keeps the broker from answering, it is what is to be shown.
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        sys.exit(message.replace(password, "***") if password else message)


if __name__ == "__main__":
    main()
