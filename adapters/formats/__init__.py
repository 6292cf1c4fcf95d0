"""Codecs between a member's dialect and the hub's own messages.
Pure: bytes in, data out; no transport, no database.
"""
