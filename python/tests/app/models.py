"""A model whose rows share a transaction with jobs, and one whose rows know their jobs."""

from django.db import models

from gristmill.models import JobField


class Order(models.Model):
    name = models.CharField(max_length=20)


class Photo(models.Model):
    name = models.CharField(max_length=20)
    job = JobField()
    elsewhere = JobField(backend="elsewhere")
