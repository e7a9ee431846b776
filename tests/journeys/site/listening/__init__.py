"""Tasks, and receivers of their signals that do what no receiver should."""
