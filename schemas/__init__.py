"""The contracts: *.avsc is the one source of every message type; codec, validation and all derived
descriptions come from it."""
