"""Backends without a database: `immediate` runs a task where it is enqueued, `dummy` only notes that it was."""
