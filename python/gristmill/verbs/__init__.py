"""What people do to jobs and schedules, carried out by the engine's statements; `gristmill.operations` is the door."""
