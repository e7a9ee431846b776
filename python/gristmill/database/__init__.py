"""How the queue's database is spoken to from Django: its dialects, its tables, and the engine's own statements."""
