from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def init_connection_state(self):
        super().init_connection_state()
        with self.cursor() as cursor:
            cursor.execute("set search_path = decoy, public")
