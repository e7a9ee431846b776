"""All that is to be seen of one job: what was asked, what became of it, when, and who did what."""
