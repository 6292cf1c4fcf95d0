"""Real servers as our own children: Apache Kafka and PostgreSQL from packages, for a demo, tests and
one-machine use.

What prepares, starts or stops a server lives here. Nothing here may know about cases, topics or members.
"""
