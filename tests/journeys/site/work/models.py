"""What transactional tasks leave behind."""

from django.db import models


class Effect(models.Model):
    """One run's write; a job that has two of them was done twice."""

    job = models.CharField(max_length=32, db_index=True)
    attempt = models.IntegerField()
