"""The one command that Django finds here."""
