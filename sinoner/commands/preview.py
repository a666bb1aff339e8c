"""The first conversations of a run on the terminal, as ``build-it-set --show N`` prints them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from sinoner.records import Conversation

_COLOURS = {"system": "magenta", "user": "cyan", "assistant": "green"}
# A text from the web must not steer the terminal; line breaks and tabs are harmless.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def preview(conversations: Iterable[Conversation], n: int) -> Iterator[Text | Rule]:
    """The parts to print for the first ``n`` conversations, whole; rules stand between them.

    What the texts say is text, never mark-up. Control characters are shown as ``\\x1b``.
    """
    for number, conversation in enumerate(islice(conversations, n)):
        if number:
            yield Rule(style="dim")
        yield _header(conversation)
        for message in conversation.messages:
            learned = " (learned)" if message.learn else ""
            turn = Text(f"{message.role}{learned}", style=f"bold {_COLOURS[message.role]}")
            yield turn.append(f"\n{_plain(message.content)}", style="not bold default")


def print_preview(console: Console, conversations: Iterable[Conversation], n: int) -> None:
    """Print the first ``n`` conversations: in colour on a terminal, plain when piped; lines are never cut or filled."""
    for part in preview(conversations, n):
        console.print(part, soft_wrap=True)


def _header(conversation: Conversation) -> Text:
    lines = [("id", conversation.id)]
    if conversation.passage != conversation.id:
        lines.append(("passage", conversation.passage))
    lines.append(("types", " · ".join(conversation.types) or "-"))
    lines.append(("examples", " · ".join(conversation.examples) or "-"))
    return Text("\n").join(
        Text.assemble((f"{name}: ", "dim"), (_plain(value), "bold")) for name, value in lines
    )


def _plain(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
