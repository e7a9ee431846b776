"""
The one rule for arguments and results: JSON that means the same in Python, Rust, PostgreSQL and SQLite.

Values are normalised as Django's tasks do (mappings, tuples and other sequences, bytes that are UTF-8), then
written as compact UTF-8 text. Refused is what some reader would change or refuse: NaN and infinities, NUL
characters, lone surrogates, integers beyond 64 bits, keys that become equal as text, depth over 100, and text
over a size limit.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.values.json_remedies import said_of

MAX_BYTES = 256 * 1024
MAX_DEPTH = 100
MAX_INTEGER = 2**63 - 1

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def encode(value: Any, *, where: str, max_bytes: int = MAX_BYTES) -> str:
    """
    Returns `value` as canonical JSON text.

    Raises TypeError or ValueError whose message begins with the path of what is wrong, `where` first:
    `args[0].items[3]: set is not JSON`.
    """
    if not _is_plain(value, MAX_DEPTH):
        value = _normalised(value, where, MAX_DEPTH)
    try:
        text = _encoder.encode(value)
    except ValueError:
        # NaN or an infinity: the normaliser names the place.
        _normalised(value, where, MAX_DEPTH)
        raise
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            _normalised(value, where, MAX_DEPTH)
            raise
    if size > max_bytes:
        raise ValueError(
            f"{where}: {size:,} bytes of JSON are over the limit of {max_bytes:,} "
            '(OPTIONS["MAX_JSON_BYTES"]); pass a reference to the data instead'
        )
    if "\\u0000" in text:
        # Either a NUL, which the normaliser refuses, or a backslash before "u0000".
        _normalised(value, where, MAX_DEPTH)
    return text


def _is_plain(value: Any, depth: int) -> bool:
    """Tells whether `value` needs no normalising: exact built-in types, text keys, integers in range, not too deep."""
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is float:
        return True
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    if not depth:
        return False
    if kind is list or kind is tuple:
        for item in value:
            if not _is_plain(item, depth - 1):
                return False
        return True
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not _is_plain(item, depth - 1):
                return False
        return True
    return False


def _normalised(value: Any, where: str, depth: int) -> Any:
    """Returns `value` in plain JSON types, or raises with the path of what is wrong."""
    # A lazy object says that it is of the class of what it will be, which holds in Python only.
    if isinstance(value, (str, int, float, bytes)) and not issubclass(type(value), (str, int, float, bytes)):
        raise TypeError(f"{where}: {said_of(value)}")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise ValueError(
                f"{where}: an integer beyond 64 bits is not JSON that every database keeps; pass it as text"
            )
        return int(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{where}: {float(value)} is not JSON; pass None, or text")
        return float(value)
    if isinstance(value, bytes):
        try:
            return _text(value.decode(), where)
        except UnicodeDecodeError:
            raise ValueError(
                f"{where}: bytes that are not UTF-8 are not JSON (Unsupported value: {type(value)}); "
                "pass them as Base64 text, or where they are kept"
            ) from None
    if not isinstance(value, (Mapping, Sequence)):
        raise TypeError(f"{where}: {said_of(value)}")
    if not depth:
        raise ValueError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return _normalised_mapping(value, where, depth)
    return [_normalised(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(value)]


def _normalised_mapping(mapping: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    normalised: dict[str, Any] = {}
    for key, item in mapping.items():
        text = _key(key, where)
        if text in normalised:
            raise ValueError(f"{where}: two keys become {json.dumps(text)} as JSON")
        path = f"{where}.{text}" if text.isidentifier() else f"{where}[{json.dumps(text)}]"
        normalised[text] = _normalised(item, path, depth - 1)
    return normalised


def _key(key: Any, where: str) -> str:
    """Returns a mapping's key as the text that JSON makes of it: 1 is "1", True is "true", None is "null"."""
    if isinstance(key, (bytes, str)):
        text = _normalised(key, f"{where} key", 0)
        assert isinstance(text, str)
        return text
    if key is None or isinstance(key, (bool, int, float)):
        return _encoder.encode(_normalised(key, f"{where} key", 0))
    name = type(key).__name__
    raise TypeError(f"{where} key: {name} is not a JSON key (Unsupported type: {type(key)}); use str(…) of it")


def _text(value: str, where: str) -> str:
    # str subclasses (enum members) become the text that they hold.
    text = str.__str__(value)
    if "\0" in text:
        raise ValueError(f"{where}: text with a NUL character is not JSON that every database keeps")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: text with a lone surrogate is not UTF-8") from None
    return text
