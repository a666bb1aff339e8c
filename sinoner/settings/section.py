"""What the sections of settings share: their base, and the shapes in which people write lists and names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of the sections: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def listed(value: Any) -> Any:
    """Accept one value where a list is wanted, and a bare path where a source is wanted."""
    return [value] if isinstance(value, (str, Mapping)) else value


def named(value: Any) -> Any:
    """Accept a list, or words separated by commas, where a mapping of name to something is wanted."""
    if isinstance(value, str):
        value = [word.strip() for word in re.split("[,，、]", value)]
    if isinstance(value, Sequence):
        return {word: word for word in value if word}
    return value
