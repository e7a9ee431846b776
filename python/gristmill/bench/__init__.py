"""What `manage.py gristmill bench` measures: drain, latency, enqueue and backlog, on the project's own database."""
