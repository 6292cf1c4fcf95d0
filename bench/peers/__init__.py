"""The contestants other than the shipped router, each a program of its own: `python <file> <job as JSON>`.
They import nothing of the hub except bare_lane.py, so that each may run in an environment of its own."""
