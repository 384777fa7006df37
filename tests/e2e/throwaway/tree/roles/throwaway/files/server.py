"""A server by TLS: it answers 200 if it leads, and 503 if not. The argument is the directory of its files."""

import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DIRECTORY = Path(sys.argv[1])
SETTINGS = json.loads((DIRECTORY / "settings.json").read_text(encoding="utf-8"))


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        self.send_response(200 if SETTINGS["leads"] else 503)
        self.end_headers()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(DIRECTORY / "server.crt", DIRECTORY / "server.key")
servers = [ThreadingHTTPServer((address, SETTINGS["port"]), Handler) for address in SETTINGS["addresses"]]
for server in servers:
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()
