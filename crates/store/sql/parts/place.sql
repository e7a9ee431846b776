-- The columns that all places share, in every dialect: what a move carries along, and what some moves change.
{carried}, run_after, token, generation, counts, started_at
