"""What of libpq's keywords reaches the engine, what is refused, and what means nothing to it."""

#: What libpq takes and the engine cannot do, with the values under which nothing is asked of it.
REFUSED = {
    "channel_binding": {"prefer", "disable"},
    "gssencmode": {"prefer", "disable"},
    "replication": {"", "false", "off", "no", "0"},
    "require_auth": {""},
    "requirepeer": {""},
    "sslcertmode": {"allow"},
    "sslcrl": {""},
    "sslcrldir": {""},
    "sslnegotiation": {"postgres"},
    "sslpassword": {""},
    "sslsni": {"1"},
    "ssl_min_protocol_version": {"", "TLSv1", "TLSv1.1", "TLSv1.2"},
    "ssl_max_protocol_version": {"", "TLSv1.3"},
    "target_session_attrs": {"any", "read-write", "primary"},
}
#: What reaches the engine, or says where something is that does.
PASSED_ON = {
    "application_name",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "host",
    "hostaddr",
    "load_balance_hosts",
    "options",
    "passfile",
    "password",
    "port",
    "service",
    "servicefile",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
}
#: What means nothing to it: its own are shorter, or it has no such thing.
WITHOUT_MEANING = {
    "authtype",
    "client_encoding",
    "gssdelegation",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "sslcompression",
    "sslkeylogfile",
    "tcp_user_timeout",
    "tty",
}


def cannot(said: dict[str, str]) -> str | None:
    """Returns the first keyword that asks for what the engine cannot do, or that nobody here knows."""
    for name, value in said.items():
        known = name in PASSED_ON or name in WITHOUT_MEANING or name in REFUSED
        if not known or value not in REFUSED.get(name, {value}):
            return name
    return None
