"""Seeded simulation: the hub's own lanes, router and delivery over an in-memory log, with crashes
wherever they wait.

Real: hub.lanes.lane, restore, hub.router, hub.routing, hub.delivery. Stand-ins: broker, store, member,
clock, membership. A schedule is its seed; a failure prints it, `python -m tests.simulation SEED` runs it
again.
"""
