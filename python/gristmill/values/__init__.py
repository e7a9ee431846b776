"""What everything leans on: ids, moments and their bounds, lengths of time, JSON, how an exception is told."""
