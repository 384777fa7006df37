"""The little of LDAP (RFC 4511) that it takes to ask whether a directory lets somebody in, and shows him something.

A host that Airflow is not installed on has no client of LDAP yet, and Python has none of its own.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

_PORTS = {"ldap": 389, "ldaps": 636}
_START_TLS = b"1.3.6.1.4.1.1466.20037"
_LONGEST = 1_000_000
# Tags of BER: universal ones, and those of LDAP's requests and answers.
_INTEGER, _OCTETS, _ENUM, _SEQUENCE, _BOOLEAN = 0x02, 0x04, 0x0A, 0x30, 0x01
_BIND, _UNBIND, _SEARCH, _ENTRY, _EXTENDED = 0x60, 0x42, 0x63, 0x64, 0x77
_SIMPLE, _PRESENT, _NAME = 0x80, 0x87, 0x80
_NO_SUCH_OBJECT = 32
_WORDS = {
    32: "there is no such object",
    34: "that is no DN",
    48: "it does not take passwords",
    49: "it knows no such user, or another password",
    50: "the user may not do that",
    53: "it is not willing to",
}


class RefusedError(Exception):
    """What a directory says instead of what it was asked for."""


def _part(tag: int, *contents: bytes) -> bytes:
    body = b"".join(contents)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(body) < 0x80 else bytes([0x80 | len(size)]) + size) + body


def _integer(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _parts(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the parts in a body, each with its tag. Raises RefusedError if it is cut off."""
    while body:
        tag, size, start = body[0], body[1] if len(body) > 1 else 0x80, 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(body[2:start], "big")
        if len(body) < start + size:
            raise RefusedError("it does not answer as a directory does")
        yield tag, body[start : start + size]
        body = body[start + size :]


class Directory:
    """A connection to a directory. Raises RefusedError for what it refuses, and OSError."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._host, self._number = str(parts.hostname), 0
        self._socket = socket.create_connection((self._host, parts.port or _PORTS[parts.scheme]), timeout)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Go on by TLS."""
        self._socket = context.wrap_socket(self._socket, server_hostname=self._host)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Ask for TLS, and go on by it."""
        self._result(self._ask(_part(_EXTENDED, _part(_NAME, _START_TLS)))[-1])
        self.speak_tls(context)

    def login(self, user: str, password: str) -> None:
        """Log in (a simple bind)."""
        name, secret = _part(_OCTETS, user.encode()), _part(_SIMPLE, password.encode())
        self._result(self._ask(_part(_BIND, _part(_INTEGER, b"\3"), name, secret))[-1])

    def name(self, wanted: str) -> str:
        """Return the name of an object as the directory writes it; nothing if it shows none."""
        options = (_part(_ENUM, b"\0"), _part(_ENUM, b"\0"), _part(_INTEGER, b"\0"), _part(_INTEGER, b"\0"))
        rest = (_part(_BOOLEAN, b"\0"), _part(_PRESENT, b"objectClass"), _part(_SEQUENCE, _part(_OCTETS, b"1.1")))
        *found, last = self._ask(_part(_SEARCH, _part(_OCTETS, wanted.encode()), *options, *rest))
        self._result(last, _NO_SUCH_OBJECT)
        names = [next(_parts(body))[1].decode() for tag, body in found if tag == _ENTRY]
        return names[0] if names else ""

    def _ask(self, request: bytes) -> list[tuple[int, bytes]]:
        """Send a request; return all answers to it."""
        self._number += 1
        self._socket.sendall(_part(_SEQUENCE, _part(_INTEGER, _integer(self._number)), request))
        found: list[tuple[int, bytes]] = []
        # Entries and references come before the answer itself.
        while not found or found[-1][0] in (_ENTRY, 0x73):
            found.append(list(_parts(self._message()))[1])
        return found

    def _message(self) -> bytes:
        head = self._read(2)
        size = int.from_bytes(self._read(head[1] & 0x7F), "big") if head[1] & 0x80 else head[1]
        if head[0] != _SEQUENCE or size > _LONGEST:
            raise RefusedError("it does not answer as a directory does")
        return self._read(size)

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self._socket.recv(size - len(found))
            if not part:
                raise RefusedError("it closes the connection")
            found += part
        return found

    @staticmethod
    def _result(answer: tuple[int, bytes], *accepted: int) -> None:
        """Raise RefusedError unless an answer tells of success."""
        (_, code), _, (_, said), *_ = _parts(answer[1])
        number = int.from_bytes(code, "big")
        if number and number not in accepted:
            text = said.decode(errors="replace").strip("\0\n ")
            raise RefusedError(f"{_WORDS.get(number, 'it refuses')} (LDAP {number}{f', {text}' if text else ''})")
