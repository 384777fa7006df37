"""A stand-in for Loki, Elasticsearch and OpenSearch, of which none can be had here: reads what is pushed, strictly.

Usage: log_sink.py PORT DIRECTORY

`DIRECTORY/code` has the status that it answers, if it is there; without it, what is right gets 200, another login 401,
and what is no such request 400. Accepted lines are in `DIRECTORY/lines`, one of JSON for each.
"""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import sys
from pathlib import Path
from typing import Any

PORT, DIRECTORY = int(sys.argv[1]), Path(sys.argv[2])
LOGIN = "Basic " + base64.b64encode((DIRECTORY / "login").read_bytes().strip()).decode()


def bulk(body: str) -> list[dict[str, Any]]:
    """Return the documents of a request of _bulk, each after its action; raise ValueError for anything else."""
    rows = body.split("\n")
    if rows.pop() or len(rows) % 2:
        raise ValueError(body)
    found = []
    for action, document in zip(rows[::2], rows[1::2], strict=True):
        (name, target), *others = json.loads(action).items()
        if name != "create" or others:
            raise ValueError(action)
        line = json.loads(document)
        if not {"@timestamp", "message", "host", "unit", "level"} <= set(line):
            raise ValueError(document)
        found.append(line | {"_index": target["_index"]})
    return found


def push(body: str) -> list[dict[str, Any]]:
    """Return the lines of a request of Loki's, with their labels; raise ValueError for anything else."""
    found = []
    for stream in json.loads(body)["streams"]:
        for moment, line in stream["values"]:
            if len(moment) != 19 or not isinstance(line, str) or not stream["stream"]:
                raise ValueError(stream)
            found.append({**stream["stream"], "@timestamp": moment, "message": line})
    return found


READERS = {"/_bulk": bulk, "/loki/api/v1/push": push}


class Sink(http.server.BaseHTTPRequestHandler):
    """The server."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        code = DIRECTORY / "code"
        status = int(code.read_text()) if code.exists() else self.taken(body)
        answer = b'{"errors":false,"items":[]}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def taken(self, body: str) -> int:
        if self.headers.get("Authorization") != LOGIN:
            return 401
        try:
            lines = READERS[self.path](body)
        except (TypeError, ValueError, KeyError):
            (DIRECTORY / "refused").write_text(body)
            return 400
        with (DIRECTORY / "lines").open("a") as file:
            for line in lines:
                seen = {"_path": self.path, "_tenant": self.headers.get("X-Scope-OrgID")}
                file.write(json.dumps(line | seen) + "\n")
        return 200

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("0.0.0.0", PORT), Sink)  # noqa: S104 - the site asks from another host
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/company/server.crt", "/etc/company/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
