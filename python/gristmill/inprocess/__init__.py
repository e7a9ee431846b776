"""Jobs that run in this process, for tests: a child has the engine's decisions, and statements are carried out here."""
