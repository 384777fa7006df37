"""A worker of Zeebe (Camunda 8): reserves what an order wants, over the gateway's gRPC."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import grpc
from prometheus_client import Counter, start_http_server
from pyzeebe import ZeebeWorker, create_insecure_channel, create_secure_channel

PROCESSED = Counter("worker_tasks_processed_total", "Jobs that have ended", ["type"])


def channel() -> grpc.aio.Channel:
    """Return the way to the gateway: by TLS, unless ZEEBE_PLAIN says that it speaks none."""
    address = os.environ["ZEEBE_ADDRESS"]
    if os.environ.get("ZEEBE_PLAIN"):
        return create_insecure_channel(grpc_address=address)
    authority = os.environ.get("ZEEBE_CA_FILE")
    certificates = Path(authority).read_bytes() if authority else None
    return create_secure_channel(
        grpc_address=address, channel_credentials=grpc.ssl_channel_credentials(root_certificates=certificates)
    )


async def main() -> None:
    """Work until systemd says stop."""
    worker = ZeebeWorker(channel(), name=f"airstrip-{os.environ['INSTANCE']}")

    @worker.task(task_type="reserve-stock", max_jobs_to_activate=4, timeout_ms=30000)
    async def reserve(order: str, pieces: int) -> dict[str, object]:
        PROCESSED.labels("reserve-stock").inc()
        return {"reservation": f"{order}-{pieces}", "pieces": pieces}

    start_http_server(int(os.environ["PORT"]), os.environ.get("LISTEN", "127.0.0.1"))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(worker.stop()))
    await worker.work()


if __name__ == "__main__":
    asyncio.run(main())
