"""Seals at this hub: the book of their lives on disk and what the command line does with them.
Cryptography and rules are in `signing/`; here are files, locks and texts.
"""
