"""What people add touches few files, and those still have the places for it."""

from __future__ import annotations

import pytest
from additions import ADDITIONS, Addition
from test_tree import ROOT, text_of


@pytest.mark.parametrize("addition", ADDITIONS, ids=lambda addition: addition.what)
def test_an_addition_touches_few_files(addition: Addition) -> None:
    assert len(addition.files) <= addition.most_files


@pytest.mark.parametrize("addition", ADDITIONS, ids=lambda addition: addition.what)
def test_an_addition_still_has_its_places(addition: Addition) -> None:
    assert [why for edit in addition.edits if (why := edit.does_not_apply(text_of(ROOT / edit.file)))] == []
