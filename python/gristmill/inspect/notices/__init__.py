"""Notices of failures: OPTIONS["NOTIFY"] is told once for each cause and hour, by jobs of our own."""
