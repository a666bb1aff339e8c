"""What the sections of settings share: their base, and the shapes in which people write lists and names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Mark(Enum):
    """What a setting means to the identity of a result, written once as ``Annotated[TYPE, Mark.…]`` in its field."""

    ONLY_HOW = "how a result is computed, never what it is: speed, place, money, keys"
    BY_CONTENT = "a file whose content counts, hashed as an input; where it is located does not"


class Section(BaseModel):
    """Base of the sections: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def identity(self) -> dict[str, Any]:
        """The settings that a result depends on, by key, as JSON values."""
        fields = type(self).model_fields
        return {
            key: _identity(getattr(self, key), field)
            for key, field in fields.items()
            if Mark.ONLY_HOW not in field.metadata
        }


def _identity(value: Any, field: FieldInfo) -> Any:
    if isinstance(value, Section):
        return value.identity()
    if isinstance(value, tuple):
        return [_identity(item, field) for item in value]
    if isinstance(value, str) and Mark.BY_CONTENT in field.metadata and Path(value).exists():
        return Path(value).name
    return value


def listed(value: Any) -> Any:
    """Accept one value for a list, and a bare path for a source."""
    return [value] if isinstance(value, (str, Mapping)) else value


def named(value: Any) -> Any:
    """Accept a list, or words separated by commas, for a mapping from names."""
    if isinstance(value, str):
        value = [word.strip() for word in re.split("[,，、]", value)]
    if isinstance(value, Sequence):
        return {word: word for word in value if word}
    return value
