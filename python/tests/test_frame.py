"""Frames survive being cut anywhere, and nonsense is refused."""

import random

import pytest

from gristmill.runner.frame import MAX_LENGTH, BadFrame, Parser, pack, pack_job


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7, 64, 1000])
def test_frames_survive_being_cut_anywhere(piece: int) -> None:
    dice = random.Random(piece)
    frames = [(dice.randrange(256), dice.randbytes(dice.randrange(300))) for _ in range(200)]
    stream = b"".join(pack(kind, payload) for kind, payload in frames)
    parser = Parser()
    read = [frame for at in range(0, len(stream), piece) for frame in parser.feed(stream[at : at + piece])]
    assert read == frames


def test_the_longest_frame_passes_and_a_longer_one_is_refused() -> None:
    longest = pack(1, bytes(MAX_LENGTH - 1))
    parser = Parser()
    read = [frame for at in range(0, len(longest), 65536) for frame in parser.feed(longest[at : at + 65536])]
    assert [(kind, len(payload)) for kind, payload in read] == [(1, MAX_LENGTH - 1)]
    with pytest.raises(ValueError, match="over the limit"):
        pack(1, bytes(MAX_LENGTH))
    with pytest.raises(ValueError, match="over the limit"):
        pack_job(1, bytes(16), 1, bytes(MAX_LENGTH - 24))


@pytest.mark.parametrize("length", [0, MAX_LENGTH + 1, 2**32 - 1])
def test_an_impossible_length_is_refused_before_anything_is_kept_for_it(length: int) -> None:
    with pytest.raises(BadFrame):
        Parser().feed(length.to_bytes(4, "little"))
