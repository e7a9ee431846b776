"""An app with tasks, models of its own and nothing else."""
