"""Print how many messages wait in queues of Celery's broker, and which workers answer, as JSON.

Standard input: `url` and `transport_options` of the broker as Celery takes them, `queues`, `nodes` (the workers), and
`timeout` in seconds. Runs on a release's Python, which has Celery; Airflow itself would take 4 s to start.
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


def ask(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what the broker says."""
    patience = wanted["timeout"]
    transport = {**wanted["transport_options"], "socket_connect_timeout": patience, "socket_timeout": patience}
    app = Celery(broker=wanted["url"])
    app.conf.update(broker_transport_options=transport)
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        lengths = {queue: length(connection, queue) for queue in wanted["queues"]}
        nodes = wanted["nodes"]
        answers = app.control.ping(nodes, timeout=patience, connection=connection, limit=len(nodes)) if nodes else []
        # Celery would leave the queue for the answers bound.
        app.control.mailbox.get_reply_queue().bind(connection.default_channel).delete()
    return {"queues": lengths, "answers": sorted(node for answer in answers for node in answer)}


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
