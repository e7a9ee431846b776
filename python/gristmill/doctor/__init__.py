"""
Holds a live database against what must always be true of it.

    from gristmill.doctor.examine import examine

    report = examine("default")
    report.problems, report.warnings, report.unchecked

`check.py` says what a check is, `checks/` has them, `examine.py` walks through the tables, `mending.py` puts right what
may be put right without a person.
"""
