"""Try, as the user of the broker whose URL is read, what it may do with the messages and the workers of others."""

import sys

import redis

client = redis.Redis.from_url(sys.stdin.readline().strip())
tries = {
    "length": ("LLEN", "default"),
    "read": ("LRANGE", "default", 0, -1),
    "take": ("RPOP", "default"),
    "stop others": ("PUBLISH", "/0/other.celery.pidbox", "x"),
}
for name, command in tries.items():
    try:
        client.execute_command(*command)  # type: ignore[no-untyped-call]
        sys.stdout.write(f"{name}: allowed\n")
    except redis.exceptions.NoPermissionError:
        sys.stdout.write(f"{name}: refused\n")
