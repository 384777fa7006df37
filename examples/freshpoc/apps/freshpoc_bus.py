"""The event bus: streams of Redis, each read by the service that comes next."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import redis
from freshpoc_service import secret

FILES, MODELS, GRAPHS = "files", "models", "graphs"
# Events of a stream that are kept, also read ones.
LONGEST = 100_000
_BATCH = 1000

Event = Mapping[str, Any]


class Bus:
    """The bus, as one service sees it. An event is there until the service says that it is done with it."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._redis = redis.Redis(
            host=os.environ.get("BUS_HOST", "127.0.0.1"),
            port=int(os.environ["BUS_PORT"]),
            password=secret("event_bus_password"),
            socket_timeout=5,
            decode_responses=True,
        )

    def events(self, stream: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events with which this service is not done, in their order, each with its id."""
        try:
            self._redis.xgroup_create(stream, self._service, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        found: list[tuple[str, dict[str, Any]]] = []
        # What it was handed before and has not finished, then what is new: for each, from the one after the last.
        for begin in ("0", ">"):
            after = begin
            while rows := self._read(stream, after):
                # An event that was trimmed meanwhile has nothing in it.
                found += [(name, json.loads(fields["event"])) for name, fields in rows if fields]
                after = rows[-1][0] if begin == "0" else begin
        return found

    def _read(self, stream: str, after: str) -> list[tuple[str, dict[str, str]]]:
        answer: Any = self._redis.xreadgroup(self._service, self._service, {stream: after}, count=_BATCH)
        # A list of pairs by the older protocol, a mapping by the newer one.
        if isinstance(answer, Mapping):
            return [row for batch in answer.get(stream, []) for row in batch]
        return list(answer[0][1]) if answer else []

    def finish(self, read: str, done: Iterable[str], written: str = "", events: Iterable[Event] = ()) -> None:
        """Be done with events, and publish those that follow from them: both at once, or neither."""
        with self._redis.pipeline(transaction=True) as pipe:
            for event in events:
                pipe.xadd(written, {"event": json.dumps(event)}, maxlen=LONGEST)
            if names := list(done):
                pipe.xack(read, self._service, *names)
            pipe.execute()

    def publish(self, stream: str, events: Iterable[Event]) -> None:
        """Publish events: all of them, or none."""
        self.finish("", (), stream, events)
