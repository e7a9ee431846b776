"""The table of effects."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="Effect",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("job", models.CharField(db_index=True, max_length=32)),
                ("attempt", models.IntegerField()),
            ],
        ),
    ]
