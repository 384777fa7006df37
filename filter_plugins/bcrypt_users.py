"""Filter: the passwords of people as programs of Prometheus take them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import bcrypt
from ansible.errors import AnsibleFilterError

# 2^10 rounds, about 50 ms: the programs keep what they have found out (prometheus/exporter-toolkit, web/handler.go).
_COST = 10
# bcrypt looks at no more.
_MAX_BYTES = 72
# Its own order of the letters of base64.
_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def bcrypt_users(passwords: Mapping[str, str], key: str) -> dict[str, str]:
    """
    Return the bcrypt hash of each password by its user's name, the same in each run.

    Example: `{'viewer': vault_password} | bcrypt_users(vault_key)`. The salt comes from the name and the password, by
    `key`, which is a secret: without it, nobody can tell from a salt what the password is. Raises AnsibleFilterError
    for an empty password, or one of more than 72 bytes, of which bcrypt would not look at the rest.
    """
    return {str(name): _hash(str(name), str(password), str(key)) for name, password in passwords.items()}


def _hash(name: str, password: str, key: str) -> str:
    secret = password.encode()
    if not 0 < len(secret) <= _MAX_BYTES:
        raise AnsibleFilterError(f"bcrypt_users: the password of {name} has {len(secret)} bytes; 1 to {_MAX_BYTES} do")
    digest = hmac.digest(key.encode(), f"{name}\0{password}".encode(), hashlib.sha256)[:16]
    salt = base64.b64encode(digest).rstrip(b"=").translate(bytes.maketrans(_STANDARD, _BCRYPT))
    return bcrypt.hashpw(secret, b"$2b$%02d$" % _COST + salt).decode()


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"bcrypt_users": bcrypt_users}
