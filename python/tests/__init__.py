"""Tests of the Django package. `tests.settings` is their project; GRISTMILL_TEST_DATABASE chooses the database."""
