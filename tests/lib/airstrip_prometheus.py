"""Prometheus of a site, asked over its HTTP API."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml
from airstrip_grafana import Times


class PrometheusError(Exception):
    """What Prometheus says of a query that it refuses."""


@dataclass(frozen=True)
class Prometheus:
    """Where it is, who asks, and the authority that vouches for its certificate."""

    url: str
    user: str
    password: str = field(repr=False)
    ca_certificate: Path

    def _get(self, path: str, **parameters: Any) -> Any:
        result = requests.get(
            f"{self.url.rstrip('/')}/api/v1/{path}",
            params=parameters,
            auth=(self.user, self.password),
            verify=str(self.ca_certificate),
            timeout=60,
        )
        if "json" not in result.headers.get("content-type", ""):
            raise PrometheusError(f"HTTP {result.status_code}: {result.text[:500]}")
        said = result.json()
        if said["status"] != "success":
            raise PrometheusError(said["error"])
        return said["data"]

    def at_once(self, expression: str) -> list[float]:
        """Return the values of an expression now: those that are numbers."""
        data = self._get("query", query=expression)
        results = [data["result"]] if data["resultType"] == "scalar" else [row["value"] for row in data["result"]]
        return [number for _, text in results if math.isfinite(number := float(text))]

    def over(self, expression: str, times: Times) -> list[float]:
        """Return the values of an expression over the time that is looked at: those that are numbers."""
        now = time.time()
        given: Mapping[str, Any] = {"start": now - times.span, "end": now, "step": times.step}
        rows = self._get("query_range", query=expression, **given)["result"]
        return [number for row in rows for _, text in row["values"] if math.isfinite(number := float(text))]

    @property
    def scrape_seconds(self) -> int:
        """How often it scrapes, as its configuration has it."""
        text = yaml.safe_load(self._get("status/config")["yaml"])["global"]["scrape_interval"]
        return seconds(text)

    @property
    def version(self) -> str:
        """Its version."""
        return str(self._get("status/buildinfo")["version"])


def seconds(text: str) -> int:
    """Return a duration of Prometheus' configuration, as 1m30s, in seconds."""
    found, number = 0, ""
    for letter in text:
        if letter.isdigit():
            number += letter
        else:
            found += int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[letter]
            number = ""
    return found
