"""Evidence (G7): every line of both ledgers becomes a leaf, leaves become signed roots, and a case's evidence
one file that anybody can check.

The cryptography is in signing/; the router's own part, one chain link a transaction, is in hub/router.
"""
