#!/usr/bin/python
"""Module: write to the place of the task logs, as Airflow would."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: remote_logs_probe
short_description: Write to the place of the task logs as Airflow would
description:
  - Of a bucket (S3) it writes an object, reads and lists it, as Airflow does, and removes it. A key that may not remove
    objects is a good one, so that is no error. Of CloudWatch it writes a line to a stream, and reads it.
  - A host that Airflow is not installed on has no client of S3 yet, so requests are signed here (AWS Signature
    Version 4).
  - It never fails. RV(error) says what was wrong.
author: Airstrip
options:
  kind: {description: "C(s3) or C(cloudwatch).", type: str, required: true, choices: [s3, cloudwatch]}
  endpoint_url: {description: "URL of the server; empty for Amazon's.", type: str, default: ""}
  region: {description: Region., type: str, default: us-east-1}
  place: {description: Name of the bucket or of the log group., type: str, required: true}
  name: {description: "Name of the object or of the stream.", type: str, required: true}
  access_key_id: {description: Id of the key., type: str, required: true}
  secret_access_key: {description: The key., type: str, required: true}
  authorities:
    description: Certificates (PEM) to trust beside those of the system, which this run is going to put there.
    type: str
    default: ""
  timeout: {description: Seconds for one answer., type: int, default: 5}
attributes:
  check_mode: {support: full, description: It is the same then.}
"""

EXAMPLES = r"""
- name: Write to the bucket
  remote_logs_probe:
    kind: s3
    endpoint_url: https://s3.example.com:9000
    place: airflow-logs
    name: site/airstrip-probe/vm1
    access_key_id: AIRFLOW
    secret_access_key: "{{ vault_airflow_remote_logs_key }}"
"""

RETURN = r"""
error: {description: "What was wrong, as server or system say it; or empty.", type: str, returned: always}
stage:
  description: "Where: C(connection), C(tls), C(write), C(read) or C(list), or empty."
  type: str
  returned: always
"""
_LONGEST = 65536
_CODE = re.compile(r"<Code>(\w+)</Code>|\"__type\": ?\"(?:[^\"]*#)?(\w+)\"")
_TEXT = "Airstrip has looked whether task logs can be written here.\n"
# What is there from the last time.
_EXISTS = "ResourceAlreadyExistsException"


class RefusedError(Exception):
    """What a server says instead of an answer."""


def _digest(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(request: Mapping[str, Any], wanted: Mapping[str, Any], moment: datetime) -> dict[str, str]:
    """Return the headers of a request with its signature (AWS Signature Version 4).

    `request` has `method`, `url`, `query` (in order), `body`, `service` and `headers`; `wanted` the region and the key.
    """
    stamp, body = moment.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(request["body"]).hexdigest()
    parts = urlsplit(request["url"])
    headers = {"host": parts.netloc, "x-amz-content-sha256": body, "x-amz-date": stamp, **request["headers"]}
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}\n" for name in sorted(headers)]
    canonical = [request["method"], parts.path or "/", request["query"], "".join(lines), names, body]
    scope = f"{stamp[:8]}/{wanted['region']}/{request['service']}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(chr(10).join(canonical).encode()).hexdigest()}"
    key = f"AWS4{wanted['secret_access_key']}".encode()
    for part in scope.split("/"):
        key = _digest(key, part)
    credential = f"AWS4-HMAC-SHA256 Credential={wanted['access_key_id']}/{scope}"
    signature = _digest(key, text).hex()
    return headers | {"authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}


class Client:
    """Whoever asks the server."""

    def __init__(self, wanted: Mapping[str, Any], service: str) -> None:
        self._wanted, self._service = wanted, service
        context = ssl.create_default_context()
        if wanted["authorities"].strip():
            context.load_verify_locations(cadata=wanted["authorities"])
        # Without the handlers of redirections: a signature counts for one address.
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Stay())

    def ask(self, method: str, url: str, query: str = "", body: bytes = b"", **headers: str) -> str:
        """Return the answer to a request. Raises RefusedError and OSError."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = {"method": method, "url": url, "query": query, "body": body, "headers": named}
        head = signed(request | {"service": self._service}, self._wanted, datetime.now(UTC))
        sent = urllib.request.Request(  # noqa: S310 - the URL's scheme is checked before
            f"{url}?{query}" if query else url,
            data=body if method in ("PUT", "POST") else None,
            headers=head,
            method=method,
        )
        try:
            with self._opener.open(sent, timeout=self._wanted["timeout"]) as answer:
                return str(answer.read(_LONGEST).decode(errors="replace"))
        except urllib.error.HTTPError as error:
            found = _CODE.search(error.read(_LONGEST).decode(errors="replace"))
            raise RefusedError(next(filter(None, found.groups())) if found else f"HTTP {error.code}") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nowhere."""


def _bucket(wanted: Mapping[str, Any]) -> str:
    """Return the URL of a bucket, as Amazon's library makes it: below the server, or as a name of Amazon's."""
    if wanted["endpoint_url"]:
        return f"{wanted['endpoint_url'].rstrip('/')}/{wanted['place']}"
    return f"https://{wanted['place']}.s3.{wanted['region']}.amazonaws.com"


def _try_s3(wanted: Mapping[str, Any], stages: list[str]) -> None:
    client, bucket = Client(wanted, "s3"), _bucket(wanted)
    url = f"{bucket}/{quote(wanted['name'], safe='/~')}"
    stages.append("write")
    client.ask("PUT", url, body=_TEXT.encode())
    stages.append("read")
    if client.ask("GET", url) != _TEXT:
        raise RefusedError("what was written is not what is read")
    stages.append("list")
    if wanted["name"] not in client.ask("GET", f"{bucket}/", f"list-type=2&prefix={quote(wanted['name'], safe='~')}"):
        raise RefusedError("what was written is not in the list")
    stages.append("remove")
    client.ask("DELETE", url)


def _try_cloudwatch(wanted: Mapping[str, Any], stages: list[str]) -> None:
    client = Client(wanted, "logs")
    url = wanted["endpoint_url"].rstrip("/") or f"https://logs.{wanted['region']}.amazonaws.com"
    place = {"logGroupName": wanted["place"], "logStreamName": wanted["name"]}

    def ask(action: str, **more: Any) -> str:
        body = json.dumps(place | more).encode()
        kind = {"content_type": "application/x-amz-json-1.1", "x_amz_target": f"Logs_20140328.{action}"}
        return client.ask("POST", f"{url}/", body=body, **kind)

    stages.append("write")
    try:
        ask("CreateLogStream")
    except RefusedError as refused:
        if str(refused) != _EXISTS:
            raise
    now = int(datetime.now(UTC).timestamp() * 1000)
    ask("PutLogEvents", logEvents=[{"timestamp": now, "message": _TEXT.strip()}])
    stages.append("read")
    ask("GetLogEvents")
    stages.append("remove")
    ask("DeleteLogStream")


def look(wanted: Mapping[str, Any]) -> dict[str, str]:
    """Return what the module does."""
    stages, error = ["connection"], ""
    try:
        (_try_s3 if wanted["kind"] == "s3" else _try_cloudwatch)(wanted, stages)
    except RefusedError as refused:
        error = str(refused)
    except urllib.error.URLError as problem:
        is_tls = isinstance(problem.reason, ssl.SSLError)
        stages, error = ["tls" if is_tls else "connection"], str(problem.reason)
    except (OSError, ValueError) as problem:
        stages, error = ["connection"], f"{type(problem).__name__}: {problem}"
    # A key that may not remove anything is a good one.
    if not error or stages[-1] == "remove":
        return {"error": "", "stage": ""}
    return {"error": error, "stage": stages[-1]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "required": True, "choices": ["s3", "cloudwatch"]},
            "endpoint_url": {"type": "str", "default": ""},
            "region": {"type": "str", "default": "us-east-1"},
            "place": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "access_key_id": {"type": "str", "required": True, "no_log": False},
            "secret_access_key": {"type": "str", "required": True, "no_log": True},
            "authorities": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(module.params))


if __name__ == "__main__":
    main()
