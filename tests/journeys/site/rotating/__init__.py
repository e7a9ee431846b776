"""A database backend whose password is looked up for each connection, as one that asks a vault does."""
