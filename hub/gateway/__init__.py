"""The gateway: where members' messages come in, are checked, numbered and made durable before a receipt is
given (G1, G7, G8)."""
