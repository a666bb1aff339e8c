"""Long texts made short."""

from hypothesis import given
from hypothesis import strategies as st

from sinoner.clip import clip


def test_what_fits_stays_and_the_rest_ends_with_an_ellipsis() -> None:
    assert clip("刘德华", 3) == "刘德华"
    assert clip("刘德华", 2) == "刘…"
    assert clip("", 1) == ""


@given(st.text(), st.integers(1, 20))
def test_never_longer_than_asked(text: str, most: int) -> None:
    cut = clip(text, most)
    assert len(cut) <= most
    assert cut == text or (len(cut) == most and text.startswith(cut[:-1]))
