"""Results of jobs: how one is read, and how one is waited for."""
