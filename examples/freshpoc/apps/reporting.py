"""Reporting: asks the query API for each repository, and puts a report of it into the object store."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import boto3
from botocore.config import Config
from freshpoc_service import secret, serve

# What the store has signed with an authority of the company's is good, too.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def _asked(path: str, **query: str) -> Any:
    url = f"{os.environ['QUERY_API_URL']}{path}?{urlencode(query)}"
    with urlopen(url, timeout=5) as answer:  # noqa: S310 the URL is the inventory's
        return json.load(answer)


def _store() -> Any:
    return boto3.client(
        "s3",
        endpoint_url=os.environ["OBJECT_STORE_URL"],
        aws_access_key_id=os.environ["OBJECT_STORE_ACCESS_KEY"],
        aws_secret_access_key=secret("object_store_key"),
        region_name="us-east-1",
        verify=AUTHORITIES,
        config=Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
    )


def report(repo: str, commit: str) -> dict[str, Any]:
    """Return what is told of a repository."""
    nodes = _asked("/nodes", repo=repo)
    read = {other for node in nodes for other in node["reads"]}
    return {
        "repo": repo,
        "commit": commit,
        "counts": Counter(node["kind"] for node in nodes),
        "layers": 1 + max((node["layer"] for node in nodes), default=-1),
        # What nothing else reads is what people look at.
        "ends": {
            node["name"]: _asked("/upstream", repo=repo, name=node["name"])
            for node in nodes
            if node["name"] not in read
        },
    }


def generate(_: Mapping[str, str]) -> dict[str, list[str]]:
    """Put the report of each repository into the store. To do so again writes the same objects."""
    store, bucket, written = _store(), os.environ["OBJECT_STORE_BUCKET"], []
    for entry in _asked("/repositories"):
        parts = urlsplit(entry["repo"])
        key = f"{os.environ['ENVIRONMENT']}/{parts.hostname}{parts.path.removesuffix('.git')}/{entry['commit']}.json"
        data = json.dumps(report(**entry), indent=1, sort_keys=True).encode()
        store.put_object(Bucket=bucket, Key=key, Body=data, ContentType="application/json")
        written.append(key)
    return {"objects": written}


if __name__ == "__main__":
    serve({"/generate": generate})
