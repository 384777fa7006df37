"""Puts into Amazon's services what the old system has there. It is done once: what is there stays.

Arguments: the URL, and the file of its authority. Standard input has the parameters, in JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3

PLACE: dict[str, Any] = {
    "region_name": "us-east-1", "endpoint_url": sys.argv[1], "verify": sys.argv[2],
    "aws_access_key_id": "AKIAOWNER", "aws_secret_access_key": "any",
}  # fmt: skip


def main() -> None:
    """Make what is not there."""
    parameters = boto3.client("ssm", **PLACE)
    if parameters.get_parameters_by_path(Path="/alerta-utec-airflow", Recursive=True)["Parameters"]:
        sys.stdout.write("present\n")
        return
    boto3.client("dynamodb", **PLACE).create_table(
        TableName="Incidents",
        KeySchema=[{"AttributeName": "incidentId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "incidentId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    boto3.client("ses", **PLACE).verify_email_identity(EmailAddress="admin@utec.edu.pe")
    boto3.client("s3", **PLACE).create_bucket(Bucket="alerta-utec-airflow-logs")
    for name, given in json.load(sys.stdin).items():
        kind = "SecureString" if given.get("secret") else "String"
        parameters.put_parameter(Name=f"/alerta-utec-airflow/{name}", Value=given["value"], Type=kind)
    sys.stdout.write("made\n")


main()
