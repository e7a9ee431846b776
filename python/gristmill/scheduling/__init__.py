"""
Schedules: rules that say when a job is wanted.

`decorator.py` has `gristmill.schedule`, `settings.py` the same from TASKS; `rules.py` and `cron.py` say what is wrong
with one. `declared.py` keeps what this process knows, `announcing.py` tells a worker, `asking.py` has the engine read
rules. Ticks are the engine's: which instants a rule names, and what becomes of missed ones, is nowhere in here.
"""
