"""All bugs that are planted."""

from __future__ import annotations

from plant import Plant
from plants_django import IN_DJANGO
from plants_engine import IN_ENGINE

PLANTS = [*IN_ENGINE, *IN_DJANGO]

__all__ = ["PLANTS", "Plant"]
