"""Tests of the Django package. `tests.settings` is their project; DATABASE_URL chooses the database."""
