"""Tasks: how a function becomes one, the options of its jobs, and which tasks this process knows."""
