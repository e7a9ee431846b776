"""The Python side of one `gristmill worker`: where the engine is, what it is told, and the zygote that it starts."""
