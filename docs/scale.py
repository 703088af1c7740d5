#!/usr/bin/env python3
"""The arithmetic of docs/scale.md: put in your own costs and assumptions, and it prints the tables again.

    python3 docs/scale.py
    python3 docs/scale.py browsers=250000 received=5 audience=50 tenant=500
"""

import math
import sys

# What one thing costs the bridge. Microseconds of CPU; bytes.
COST = {
    "delivery": 6.0,  # an event to a socket, alone in its frame
    "report": 15.0,  # what became of deliveries, at most once a second
    "heartbeat": 20.0,  # a ping and its pong
    "publish": 40.0,  # estimated, not measured by itself
    "read": 1.5,  # a record read and decoded, by each node that reads it
    "connect": 195.0,  # a session back: token checked, subscribed
    "handshake": 200.0,  # a full TLS handshake (P-256), where TLS ends
    "idle": 10_000,  # bytes: the bridge's 5,290 and the kernel's of a socket
    "frame": 550,  # bytes on the wire for a delivery with its share of headers
    "record": 370,  # bytes of a record as brokers move it, uncompressed
}

# What is assumed of use, each a second and a browser.
USE = {
    "browsers": 0,
    "received": 1.0,  # events that reach a browser
    "published": 0.02,
    "audience": 20,  # browsers that an event reaches
    "tenant": 100,  # browsers of a tenant
}

# What a node is given, and how full it may be: another node's browsers must find room.
NODE = {"cores": 4, "browsers": 50_000, "busy": 0.5, "nic": 10e9 / 8 * 0.4}
BROKER = {"in": 60e6, "out": 200e6, "replicas": 3}
CELL = 1_000_000


def plan(use, cost=COST):
    b, r = use["browsers"], use["received"]
    events = b * r / use["audience"] + b * use["published"]
    each = (
        r * cost["delivery"]
        + min(r, 1) * cost["report"]
        + cost["heartbeat"] / 25
        + use["published"] * cost["publish"]
    )
    cells = max(1, math.ceil(b / CELL))
    of_cell, stream = b / cells, events / cells
    # One more than are needed, and never fewer than two.
    reading = stream * cost["read"] / 1e6
    room = NODE["cores"] * NODE["busy"] - reading
    needed = max(of_cell / NODE["browsers"], of_cell * each / 1e6 / room, of_cell * r * cost["frame"] / NODE["nic"])
    nodes = max(2, math.ceil(needed) + 1)
    node = of_cell / nodes
    # How much of the stream a node reads: all of what is shared, or the topics of the tenants that it has.
    spread = 1 - (1 - 1 / nodes) ** use["tenant"]
    near = min(1, 2 / nodes)
    size = cost["record"]
    brokers = lambda share: max(
        3,
        math.ceil(stream * size * BROKER["replicas"] / BROKER["in"]),
        math.ceil(stream * size * (nodes * share + BROKER["replicas"] - 1) / BROKER["out"]),
    )
    moved = node / max(1, nodes - 1)
    storm = moved * cost["connect"] / 1e6 / (NODE["cores"] * (1 - NODE["busy"]))
    return {
        "cells": cells,
        "events/s that are published, all": events,
        "nodes of a cell": nodes,
        "nodes in all": nodes * cells,
        "browsers of a node": node,
        "CPU of a node for its browsers, cores": node * each / 1e6,
        "of its one reading thread, if it reads all": reading,
        "memory of a node, GB": (1e9 + node * cost["idle"] + 0.02 * node * 320 * 1024) / 1e9,
        "out of a node, Mbit/s": node * r * cost["frame"] * 8 / 1e6,
        "in of a node that reads all, Mbit/s": stream * size * 8 / 1e6,
        "share read without affinity, a topic for each tenant": spread,
        "share read with affinity": near,
        "brokers of a cell, every node reads all": brokers(1),
        "brokers of a cell, with affinity": brokers(near),
        "heartbeats/s of a node": node / 25,
        "a node is lost: sessions to each other one": moved,
        "seconds of half a node's CPU for them": storm,
        "handshakes for them, CPU s at the balancer": node * cost["handshake"] / 1e6,
    }


def shown(value):
    if isinstance(value, int) or value >= 1000:
        return f"{round(value):,}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def main():
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    use = {**USE, **{name: float(value) for name, value in given.items()}}
    sizes = [use["browsers"]] if use["browsers"] else [1e4, 1e6, 1e8]
    plans = [plan({**use, "browsers": browsers}) for browsers in sizes]
    print("| | " + " | ".join(f"{browsers:,.0f}" for browsers in sizes) + " |")
    print("| --- |" + " --- |" * len(sizes))
    for name in plans[0]:
        print(f"| {name} | " + " | ".join(shown(plan[name]) for plan in plans) + " |")


if __name__ == "__main__":
    main()
