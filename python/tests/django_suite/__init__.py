"""Django's own tests of its Tasks framework, aimed at Gristmill's backend. `run.py` runs them."""
