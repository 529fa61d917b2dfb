"""Text from outside is harmless once it is plain."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.preprocessing import Preprocessing
from engine.contract.text import did_you_mean, nearest, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 中", "plain ä 中"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1bPdevice\x1b\\after", "after"),
        ("\x9b31mred", "red"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("  spaces   inside  ", "spaces inside"),
        ("bell\x07", "bell�"),
        ("a\u202eb", "a�b"),  # would show the rest backwards
        ("a\udcffb", "a�b"),
        (ValueError("of an error"), "of an error"),
        ("[red]markup[/red]", "[red]markup[/red]"),  # escaping that is the screen's work
    ],
)
def test_plain(text: object, shown: str) -> None:
    assert plain(text) == shown


@given(text=st.text(st.characters(), max_size=80), limit=st.integers(1, 60))
def test_plain_is_one_short_harmless_line(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert plain(shown, limit) == shown


def test_long_text_is_cut_where_it_shows() -> None:
    assert plain("x" * 20, 10) == "x" * 9 + "…"


def test_the_nearest_names() -> None:
    names = ["momentum", "nesterov", "moment", "lr"]
    assert nearest("momentun", names) == ["momentum"]
    assert did_you_mean("momentun", names, 2) == '; did you mean "momentum" or "moment"?'
    assert did_you_mean("zzz", names) == ""


def test_preprocessing_at_another_size_keeps_the_ratio() -> None:
    small = Preprocessing().at(112)
    assert (small.image_size, small.resize_size) == (112, 128)
    assert small.mean == Preprocessing().mean
