"""Background tasks and goals for Django on the database you already have."""
