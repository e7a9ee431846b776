"""Template tags of Gristmill's pages."""
