"""A secret as a host has it. Python 3.9 and newer, standard library only."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote


def held_secret(text: str, place: Mapping[str, Any]) -> str:
    """Return the secret in a host's file: all of it, or the password of the user of a URL; nothing if it is not his."""
    if "user" not in place:
        return text
    user, _, password = text.partition("://")[2].partition("@")[0].partition(":")
    return unquote(password) if unquote(user) == place["user"] else ""


def digest(salt: str, secret: str) -> str:
    """Return a digest of a secret, for who has it to compare: nobody guesses 16 random characters."""
    return hmac.new(salt.encode(), secret.encode(), "sha256").hexdigest()
