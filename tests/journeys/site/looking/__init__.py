"""Looks at the admin's overview, as somebody who may see all of it."""
