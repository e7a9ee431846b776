"""The words in a key that tell of a secret, wherever arguments are shown: OPTIONS["REDACT"] replaces them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAME = "REDACT"
#: In a key's own words, whether it is written api_key, apiKey or X-API-Key.
USUAL = (
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "authorization", "auth", "cookie"),
    *("api_key", "apikey", "access_key", "private_key", "privatekey", "session_key", "sessionid", "session_id"),
    *("csrf", "card_number", "cvv", "cvc", "iban", "ssn", "otp", "pin"),
)


def secret_words(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the words of an alias's OPTIONS; the usual ones where nothing is said, or nothing that makes sense."""
    given = options.get(NAME)
    return USUAL if given is None or secret_words_error(options) else tuple(given)


def secret_words_error(options: Mapping[str, Any]) -> str | None:
    """Says what is wrong with them, behind the name of OPTIONS; None when nothing is."""
    given = options.get(NAME)
    is_list = isinstance(given, (list, tuple)) and all(isinstance(each, str) and each.strip() for each in given)
    if given is None or is_list:
        return None
    return f"['{NAME}'] must be a list of words, such as ['password', 'card_number'], not {given!r}"
