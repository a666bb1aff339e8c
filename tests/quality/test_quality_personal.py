"""Personal data are found where they are, and numbers that only look like them are left alone."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.personal import find, is_card, masked


def card(seed: int) -> str:
    """A number made by the standard's own description: sum of digit times 2 ** (position) modulo 11."""
    r = random.Random(seed)
    born = date(1900, 1, 1) + timedelta(days=r.randrange(45000))
    first = f"{r.randint(110000, 659999)}{born:%Y%m%d}{r.randrange(1000):03d}"
    remainder = sum(int(d) * (2 ** (17 - i)) for i, d in enumerate(first)) % 11
    check = (12 - remainder) % 11
    return first + ("X" if check == 10 else str(check))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("电话13800138000。", ["mobile"]),
        ("电话：+86 138-0013-8000", ["mobile"]),
        ("电话：138 0013 8000转2", ["mobile"]),
        ("手机１３８００１３８０００", ["mobile"]),
        ("邮箱 li.hong+news@mail.example.com.cn，谢谢", ["mail"]),
        ("证号11010519491231002X", ["card"]),
        ("证号11010519491231002x和13912345678", ["card", "mobile"]),
    ],
)
def test_personal_data_are_found(text: str, kinds: list[str]) -> None:
    assert [f.kind for f in find(text)] == kinds


@pytest.mark.parametrize(
    "text",
    [
        "订单20240113800138000号",  # digits before
        "流水号138001380001",  # one digit too many
        "电话12800138000",  # no mobile prefix
        "证号110105194912310021",  # wrong check digit
        "证号110105194913310027",  # no such month
        "价格1.13800138000",
        "@某人 你好",
        "a@b",
        "版本3.13.1000.2345",
        "",
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert find(text) == []


@given(st.integers(0, 100_000))
def test_check_digits_by_the_standard(seed: int) -> None:
    number = card(seed)
    assert is_card(number)
    assert is_card(number.lower())
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10 if number[-1] != "X" else 0)
    assert not is_card(wrong)


@given(st.text(st.sampled_from("1380013800０１２a@.中 -X𠮷"), max_size=40), st.integers(0, 50))
def test_masking_keeps_lengths_and_everything_else(text: str, seed: int) -> None:
    text = f"{text}，证号{card(seed)}，{text}"
    found = find(text)
    hidden = masked(text, found)
    assert len(hidden) == len(text)
    inside = {i for f in found for i in range(f.start, f.end)}
    assert all(a == b for i, (a, b) in enumerate(zip(text, hidden, strict=True)) if i not in inside)
    assert all(not hidden[i].isalnum() for i in inside)
    assert find(hidden) == []
