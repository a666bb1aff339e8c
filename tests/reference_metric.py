"""How the reference reads an answer before it scores it; for tests that compare with it."""

import json
import re

from sinoner.score.f1 import normalise

_FIRST_LIST = re.compile(r"\[(.*?)\]", re.DOTALL)


def reference_parse(answer: str) -> list[str] | None:
    """Parse an answer as the reference does: the first bracketed list, cut at the first ``]``.

    Returns:
        Normalised surfaces without repeats; None when the reference cannot parse it (it then counts none).
    """
    match = _FIRST_LIST.search(answer)
    if match is None:
        return []
    try:
        items = json.loads(match.group())
    except ValueError:
        return None
    return list(dict.fromkeys(normalise(x) for x in items if isinstance(x, str)))
