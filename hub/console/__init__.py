"""The console: server-rendered pages for platform operators, Chinese with an English switch.

Pages, accounts and the audit trail live here. Nothing here writes to a topic, and no ledger figure comes
from PostgreSQL (R25).
"""
