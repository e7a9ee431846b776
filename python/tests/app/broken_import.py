"""A module that imports what is not there."""

import nowhere  # noqa: F401
