"""The fault matrix: the hub's own processes, real brokers and real signals under load, judged by id.

`python -m tests.faults` runs it (`make faults`). Nothing of the hub imports this package.
"""
