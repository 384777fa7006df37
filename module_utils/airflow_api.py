"""A client of Airflow's REST API for modules: JSON in, JSON out, one token per client."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode

from ansible.module_utils.urls import open_url

# Shared options of the modules that use this client.
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "api_url": {"type": "str", "required": True},
    "api_username": {"type": "str", "required": True},
    "api_password": {"type": "str", "required": True, "no_log": True},
    "api_ca_path": {"type": "path"},
    "api_timeout": {"type": "int", "default": 30},
}

# FAB also says that a password is wrong when its connection to the database broke since it was last used (the database
# restarted, say): seen of 3.3.2, once for each process of the API server.
_LOGINS = 4
_SECONDS_BETWEEN_LOGINS = 1


def segment(name: str) -> str:
    """Quote a name for a path of the API, where it is one segment: `ada@example.com` gives `ada%40example.com`."""
    return quote(name, safe="")


class AirflowApiError(Exception):
    """The API did not answer, or refused. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class AirflowApi:
    """Requests to one API server, as one user."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._url = str(params["api_url"]).rstrip("/")
        self._credentials = {"username": params["api_username"], "password": params["api_password"]}
        self._ca_path = params.get("api_ca_path")
        self._timeout = int(params["api_timeout"])
        self._token = ""

    def request(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Return the parsed JSON answer, None for an empty one. Names in the path went through `segment`.

        Logs in at the first call. Raises AirflowApiError with Airflow's own explanation for any answer but 2xx.
        """
        if not self._token:
            self._token = self._log_in()
        suffix = f"?{urlencode(query, doseq=True)}" if query else ""
        return self._send(method, path + suffix, body)

    def anonymous(self, path: str) -> Any:
        """Return the parsed JSON answer of a path that needs no login."""
        return self._send("GET", path)

    def _log_in(self) -> str:
        for attempt in range(1, _LOGINS + 1):
            try:
                return str(self._send("POST", "/auth/token", self._credentials)["access_token"])
            except AirflowApiError as error:
                if error.status != 401:
                    raise
            if attempt < _LOGINS:
                time.sleep(_SECONDS_BETWEEN_LOGINS)
        name = self._credentials["username"]
        raise AirflowApiError(
            f"Airflow refuses the password of user {name}. If it was changed in Airflow, give the present one "
            "in the variable from which it comes (airflow_admin_password for the first administrator).",
            401,
        )

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body)
        try:
            with open_url(
                self._url + path,
                method=method,
                data=data,
                headers=headers,
                timeout=self._timeout,
                use_proxy=False,
                ca_path=self._ca_path,
            ) as response:
                content = response.read()
        except HTTPError as error:
            detail = error.read().decode(errors="replace")[:500]
            raise AirflowApiError(f"{method} {path}: HTTP {error.code}: {detail}", error.code) from error
        except (URLError, OSError, ValueError) as error:  # a URL that is none is a ValueError
            raise AirflowApiError(f"{method} {path}: {self._url} does not answer: {error}") from error
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise AirflowApiError(f"{method} {path}: {self._url} gives no JSON; is this an Airflow 3?") from error
