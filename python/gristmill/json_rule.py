"""The one rule for arguments and results: JSON that means the same in Python, Rust and every database."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 100


def encode(value: Any, *, where: str, max_bytes: int = MAX_BYTES) -> str:
    """Returns `value` as JSON text; TypeError and ValueError name the path of what is not JSON."""
    plain = _plain(value, where, MAX_DEPTH)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if len(text.encode()) > max_bytes:
        raise ValueError(f"{where}: over the limit of {max_bytes:,} bytes of JSON")
    return text


def _plain(value: Any, where: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        value.encode()
        if "\0" in value:
            raise ValueError(f"{where}: text with a NUL character")
        return str(value)
    if isinstance(value, int):
        if not -(2**63) < value < 2**63:
            raise ValueError(f"{where}: an integer beyond 64 bits")
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{where}: {value} is not JSON")
        return value
    if not depth:
        raise ValueError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {_plain(key, f"{where} key", 0): _plain(item, f"{where}.{key}", depth - 1) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(value)]
    raise TypeError(f"{where}: {type(value).__name__} is not JSON")
