"""
Schedules: rules that say when a job is wanted.

`decorator.py` has `gristmill.schedule`, `settings.py` the same from TASKS; `rules.py` says what is wrong with one.
`declared.py` keeps what this process knows, `announcing.py` tells a worker, `engine_cron.py` has the engine read rules.
Ticks are the engine's: which instants a rule names, and what becomes of missed ones, is nowhere in here. What people do
to schedules is in `gristmill.verbs.schedules`, what they see of them in `gristmill.inspect.schedules`.
"""
