"""Why a job does not run, or what became of it: the parts of `gristmill.explain`, one question a module."""
