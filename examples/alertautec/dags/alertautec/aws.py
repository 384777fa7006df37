"""Clients of Amazon's services, by the connection aws_default, which is in the Parameter Store."""

from __future__ import annotations

from typing import Any


def client(**kind: str) -> Any:
    """Return a client (client_type) or a resource (resource_type) of a service."""
    # It takes a second to import, which tasks pay, and a DAG processor would at each look at a file.
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook  # noqa: PLC0415

    return AwsBaseHook(aws_conn_id="aws_default", **kind).conn
