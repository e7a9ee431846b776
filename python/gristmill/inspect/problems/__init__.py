"""What is wrong with a queue at this moment: each thing one sentence that says what to do, the worst first."""
