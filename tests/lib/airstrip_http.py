"""An HTTP server on the loopback for tests of clients: it answers as it is told and remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Status and body (JSON, or text as it is).
Answer = tuple[int, Any]
# By method and path, the query included; one that ends with a star is for all that begin so.
# Of a list, each request gets the next one, and the last one is repeated.
Answers = Mapping[str, Answer | list[Answer]]


class Server:
    """What the server was asked, and where it listens."""

    def __init__(self, answers: Answers) -> None:
        self.answers = dict(answers)
        # Method with path, Authorization header and body (parsed JSON, None without one) of each request.
        self.requests: list[tuple[str, str, Any]] = []
        self.url = ""

    def asked(self) -> list[str]:
        """Return method and path of each request."""
        return [request for request, _, _ in self.requests]

    def answer(self, request: str, authorization: str, body: Any) -> Answer:
        """Remember a request; return its answer: 404 for one that was not foreseen."""
        before = self.asked().count(request)
        self.requests.append((request, authorization, body))
        begins = (text for text in self.answers if text.endswith("*") and request.startswith(text[:-1]))
        found = self.answers.get(request) or self.answers.get(next(begins, ""), (404, {"detail": "not foreseen"}))
        return found[min(before, len(found) - 1)] if isinstance(found, list) else found


@contextmanager
def serving(answers: Answers, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve `answers` on a free port of the loopback, by TLS if there is a context for it."""
    server = Server(answers)

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = server.answer(f"{self.command} {self.path}", self.headers.get("Authorization", ""), body)
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(0 if status == 204 else len(data)))
            self.end_headers()
            if status != 204:
                self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _reply  # noqa: N815 the base class's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        if tls:
            listener.socket = tls.wrap_socket(listener.socket, server_side=True)
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        listener.shutdown()
        thread.join()
