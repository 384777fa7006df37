"""Have a running Redis or Valkey write its keys to the append-only file; print `changed` if it did not do so before.

Arguments: the server's configuration, and the directory in which the file has to be. A server that holds nothing may
be stopped. The password is read from the configuration, and told nobody.
"""

from __future__ import annotations

import re
import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO

LAST_SECOND = 3600


def reply(stream: BinaryIO) -> list[str]:
    """Return the next reply as a list of texts. Raises SystemExit with an error's words."""
    kind, text = (line := stream.readline().decode())[:1], line[1:].strip()
    if kind == "-" or not kind:
        sys.exit(f"The server refuses: {text or 'it has hung up'}. Let it be configured by CONFIG, or move its keys.")
    if kind == "$":
        return [stream.read(int(text) + 2)[:-2].decode(errors="replace")] if text != "-1" else [""]
    if kind == "*":
        return [word for _ in range(int(text)) for word in reply(stream)]
    return [text]


def ask(connection: socket.socket, stream: BinaryIO, *words: str) -> list[str]:
    """Return the reply to a command."""
    parts = [part for word in words for part in (f"${len(word.encode())}", word)]
    connection.sendall("\r\n".join([f"*{len(words)}", *parts, ""]).encode())
    return reply(stream)


def keep(connection: socket.socket, password: str, data: str) -> bool:
    """Switch the append-only file on and wait until it is complete; tell whether it was off."""
    stream = connection.makefile("rb")
    if password:
        ask(connection, stream, "AUTH", password)
    for name, wanted in (("dir", data), ("appendfilename", "appendonly.aof"), ("appenddirname", "appendonlydir")):
        found = dict([ask(connection, stream, "CONFIG", "GET", name)]).get(name, wanted)
        if found != wanted:
            sys.exit(f"The server's {name} is {found}, and has to be {wanted} for its keys to be found again.")
    if ask(connection, stream, "CONFIG", "GET", "appendonly")[1] == "yes":
        return False
    ask(connection, stream, "CONFIG", "SET", "appendonly", "yes")
    for _ in range(LAST_SECOND):
        state = dict(re.findall(r"^(\w+):(\w+)", ask(connection, stream, "INFO", "persistence")[0], re.MULTILINE))
        if state["aof_last_bgrewrite_status"] != "ok":
            break
        if state["aof_rewrite_in_progress"] == state["aof_rewrite_scheduled"] == "0":
            return True
        time.sleep(1)
    sys.exit("The server could not write its keys to the append-only file: its log says why.")


def main(configuration: Path, data: str) -> None:
    """Do as the arguments say."""
    words = (line.split() for line in configuration.read_text(errors="replace").splitlines())
    settings = {line[0]: line[1].strip("\"'") for line in words if len(line) > 1}
    address = settings.get("bind", "127.0.0.1").lstrip("-").replace("*", "127.0.0.1")
    try:
        connection = socket.create_connection((address, int(settings.get("port", "6379"))), timeout=60)
    except OSError:
        held = [path for name in ("*.rdb", "appendonly*") for path in Path(settings.get("dir", data)).glob(name)]
        if held:
            sys.exit(f"The server does not answer on {address}, and there is {held[0]}: start it, so that it is kept.")
        return
    with connection:
        print("changed" if keep(connection, settings.get("requirepass", ""), data) else "kept")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
