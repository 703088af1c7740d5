"""A backend that knows only Kafka: puts valid Tidegate envelopes onto a topic.

It does not know the bridge. What it writes is what the envelope asks for (protocol/SPEC.md, section 10), and any page
whose token names the tenant and whose role is granted the topic receives it as a DOM event.
"""

import argparse
import json
import os
import random
import sys
import time
import uuid
from datetime import datetime, timezone

from confluent_kafka import Producer

CUSTOMERS = ["Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "Ken", "Radia"]


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562): rises with time. Any version will do."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    return str(uuid.UUID(int=value & ~(0b11 << 62) | 0b10 << 62))


def envelope(tenant: str, event_type: str, data: object, caused_by: dict | None = None) -> dict:
    """A notice: what happened, on whose behalf, and what led to it."""
    event_id = uuid7()
    event = {
        "version": "1.0",
        "id": event_id,
        "type": event_type,
        "correlation_id": caused_by["correlation_id"] if caused_by else event_id,
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "tenant_id": tenant,
        "data": data,
    }
    if caused_by:
        event["causation_id"] = caused_by["id"]
    return event


def life_of_an_order(tenant: str):
    """An order is created, perhaps paid; all its events have one key, and so one order."""
    number = random.randint(1000, 9999)
    total = round(random.uniform(5, 200), 2)
    created = envelope(tenant, "order.created", {"id": number, "customer": random.choice(CUSTOMERS), "total": total})
    yield f"order/{number}", created
    if random.random() < 0.7:
        paid = {"id": number, "total": total, "method": random.choice(["card", "transfer"])}
        yield f"order/{number}", envelope(tenant, "order.paid", paid, caused_by=created)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--bootstrap", default="127.0.0.1:9092", help="Kafka's address (%(default)s)")
    options.add_argument("--topic", default="{tenant}.orders", help="physical topic (%(default)s)")
    options.add_argument("--tenant", action="append", help="on whose behalf; may be given again (acme)")
    options.add_argument("--rate", type=float, default=2.0, help="orders a second (%(default)s)")
    options.add_argument("--count", type=int, help="stop after so many orders; else at Ctrl-C")
    options = options.parse_args()
    tenants = options.tenant or ["acme"]

    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            # As Java's producers: the same key goes to the same partition whoever writes it.
            "partitioner": "murmur2_random",
        }
    )
    failures = []

    def delivered(error, message):
        if error:
            failures.append(error)
            print(f"not written: {error}", file=sys.stderr)
        else:
            print(f"{message.topic()}[{message.partition()}]@{message.offset()}  {message.key().decode()}")

    orders = 0
    try:
        while options.count is None or orders < options.count:
            tenant = random.choice(tenants)
            topic = options.topic.replace("{tenant}", tenant)
            for key, event in life_of_an_order(tenant):
                value = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
                producer.produce(topic, key=key, value=value.encode(), on_delivery=delivered)
            orders += 1
            producer.poll(1 / options.rate)
    except KeyboardInterrupt:
        pass
    unwritten = producer.flush(10)
    return 1 if failures or unwritten else 0


if __name__ == "__main__":
    sys.exit(main())
