"""What is seen of a queue: a survey of it, why a job does not run, the graph around one, and its schedules."""
