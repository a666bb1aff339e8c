"""What ``build-it-set --show`` prints."""

import io

from msgspec.structs import replace
from rich.console import Console

from sinoner.commands.preview import print_preview
from sinoner.records import Conversation, Message

LONG = "很长的段落" * 100


def conversation(n: int, content: str = LONG) -> Conversation:
    turns = (
        Message(role="user", content=f"文本： {content}"),
        Message(role="assistant", content='["[bold]a[/bold]"]', learn=True),
    )
    return Conversation(
        id=f"p{n}#0|类",
        messages=turns,
        first_query=0,
        passage=f"p{n}#0",
        types=("类", "[red]"),
        examples=("e1",),
    )


def printed(conversations: list[Conversation], n: int, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=40, force_terminal=terminal, color_system="truecolor" if terminal else None
    )
    print_preview(console, iter(conversations), n)
    return out.getvalue()


def test_plain_when_piped_and_whole() -> None:
    assert printed([conversation(0)], 3) == (
        "id: p0#0|类\npassage: p0#0\ntypes: 类 · [red]\nexamples: e1\n"
        f'user\n文本： {LONG}\nassistant (learned)\n["[bold]a[/bold]"]\n'
    )


def test_a_rule_between_conversations_and_no_more_than_asked() -> None:
    told = printed([conversation(n, "短") for n in range(5)], 3)
    assert [line for line in told.splitlines() if set(line) == {"─"}] == ["─" * 40] * 2
    assert "p2#0" in told
    assert "p3#0" not in told
    assert not told.startswith("─")
    assert printed([], 3) == printed([conversation(0)], 0) == ""


def test_no_more_are_read_than_shown() -> None:
    endless = (conversation(n, "短") for n in iter(int, 1))
    print_preview(Console(file=io.StringIO()), endless, 2)


def test_roles_are_coloured_on_a_terminal() -> None:
    told = printed([conversation(0, "短")], 1, terminal=True)
    assert "\x1b[1;36muser" in told
    assert "\x1b[1;32massistant" in told
    assert "文本： 短" in told


def test_a_text_does_not_steer_the_terminal() -> None:
    told = printed([conversation(0, "甲\x1b[2J乙\r丙\n丁\x9b")], 1)
    assert "文本： 甲\\x1b[2J乙\\x0d丙\n丁\\x9b\n" in told
    assert "\x1b" not in told


def test_the_id_of_the_passage_is_said_once() -> None:
    one = replace(conversation(0, "短"), id="p0#0", types=(), examples=())
    assert printed([one], 1).startswith("id: p0#0\ntypes: -\nexamples: -\nuser\n")
