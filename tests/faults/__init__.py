"""The fault matrix: the hub's own processes, real brokers and real signals under load, judged by id.

`python -m tests.faults` runs it (`make faults`); a short form is collected by pytest
(tests/integration/test_faults_short.py). Nothing of the hub imports this package.
"""
