#
# Ansible managed
#
# Configuration of Flask-AppBuilder. API servers run it, and commands that work on users.
import os
import secrets
from pathlib import Path


def credential(name: str) -> str:
    """Return a credential of the API server. Commands have none and sign nothing: they get another one each time."""
    path = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"), name)
    return path.read_text() if path.exists() else secrets.token_urlsafe(64)


# Last, whatever stands above: logins are signed with this and nothing else.
SECRET_KEY = credential("session_secret_key")
