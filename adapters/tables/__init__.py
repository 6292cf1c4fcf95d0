"""Front-end exchange databases (前置库): the hub writes rows, the other side collects them.
asyncpg is the transport.
"""
