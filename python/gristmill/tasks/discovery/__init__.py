"""Which modules workers import for their tasks, and why a task may be in none of them."""
