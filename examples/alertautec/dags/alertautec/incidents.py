"""The incidents, which are items of a table of DynamoDB."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from typing import Any

from alertautec.aws import client

Incident = dict[str, Any]
RESOLVED = "resolved"


def now() -> datetime.datetime:
    """Return the present moment."""
    return datetime.datetime.now(datetime.UTC)


class Incidents:
    """The table that DYNAMODB_TABLE names, by the connection aws_default."""

    def __init__(self) -> None:
        self._table = client(resource_type="dynamodb").Table(os.environ["DYNAMODB_TABLE"])

    def all(self) -> Iterator[Incident]:
        """Yield all of them, however many pages there are."""
        page = self._table.scan(ConsistentRead=True)
        yield from page["Items"]
        while "LastEvaluatedKey" in page:
            page = self._table.scan(ConsistentRead=True, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield from page["Items"]

    def set(self, incident: Incident, **values: Any) -> bool:
        """Write attributes of an incident that is as it was read; return whether it still was."""
        known = ("status", "classification", "notificationSent", "remindedAt")
        names = {f"#{name}": name for name in (*known, *values)}
        conditions = [
            f"#{name} = :old_{name}" if name in incident else f"attribute_not_exists(#{name})" for name in known
        ]
        old = {f":old_{name}": incident[name] for name in known if name in incident}
        try:
            self._table.update_item(
                Key={"incidentId": incident["incidentId"]},
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
                ConditionExpression=" AND ".join(["attribute_exists(incidentId)", *conditions]),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=old | {f":{name}": value for name, value in values.items()},
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            return False
        return True
