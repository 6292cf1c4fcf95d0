"""The projector: committed records become rows in PostgreSQL, offsets in the same database transaction.

Decoding, rows and masking live here. Nothing here routes, calls a member or decides anything: what it
writes can be rebuilt from the topics.
"""
