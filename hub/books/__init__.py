"""The books: two ledgers that balance by id, computed from the topics and the members' own books (G6).

Counting, judging, closing live here. Nothing here writes to any topic but books.checkpoints, and no
sender's counter is believed.
"""
