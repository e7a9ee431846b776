import os
from pathlib import Path

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self):
        return {**super().get_connection_params(), "password": Path(os.environ["JOURNEY_PASSWORD_FILE"]).read_text()}
