"""How jobs come to be in the queue: one, many, or whole graphs of them, in the caller's transaction."""
