"""Loading the versioned prompts: strings with placeholders that are replaced literally, never formatted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sinoner import resources, yamlfile
from sinoner.errors import InputError
from sinoner.records import Lang, Message
from sinoner.settings.itset_section import Style


class Prompt(BaseModel):
    """Base of the prompt files."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    lang: Lang

    @property
    def family(self) -> str:
        """The id without the language that it names (``extract.v1``); empty when it names none."""
        found = self.id.replace(f".{self.lang}.v", ".v")
        return found if found != self.id else ""


class ExtractPrompt(Prompt):
    """A construction prompt: asks an LLM for all entities of ``{text}``."""

    system: str
    user: str = Field(pattern=r"\{text\}")

    def messages(self, text: str) -> tuple[Message, ...]:
        """The messages for one passage. Braces and ``%s`` in the text survive."""
        return (
            Message(role="system", content=self.system),
            Message(role="user", content=self.user.replace("{text}", text)),
        )


class GuidancePrompt(Prompt):
    """What may be added to a construction prompt: ``{domain}``, ``{types}``, and the request to answer again."""

    domain: str
    types: str
    type: str
    defined: str
    reask: str


class VerifyPrompt(Prompt):
    """The judge's question: whether the numbered ``{entities}`` of ``{text}`` are right."""

    system: str
    user: str = Field(pattern=r"(?s)\{text\}.*\{entities\}|\{entities\}.*\{text\}")
    entity: str = Field(pattern=r"\{n\}.*\{surface\}.*\{type\}")
    types: str = Field(pattern=r"\{types\}")


class ConversationPrompt(Prompt):
    """The turns of a training and evaluation conversation."""

    examples: str
    examples_read: str
    example: str
    passage: str
    passage_read: str
    query: str


class QuestionsPrompt(Prompt):
    """The questions for more than one type at once: ``all`` entities, or those of the listed ``{types}``."""

    all: str
    schema_: str = Field(alias="schema", pattern=r"\{types\}")


_KIND = "a prompt file"


def extract_prompt(name: str, lang: Lang) -> ExtractPrompt:
    """The construction prompt called ``name`` (highest version) for a language, or the one of a YAML path.

    Raises:
        InputError: there is none, or the file is not such a prompt.
    """
    return yamlfile.load(prompt_path(name, lang), ExtractPrompt, _KIND)


@lru_cache(maxsize=8)
def guidance_prompt(lang: Lang) -> GuidancePrompt:
    """What may be added to the construction prompts of a language."""
    return yamlfile.load(prompt_path("guidance", lang), GuidancePrompt, _KIND)


@lru_cache(maxsize=8)
def verify_prompt(lang: Lang) -> VerifyPrompt:
    """The judge's question for the passages of a language."""
    return yamlfile.load(prompt_path("verify", lang), VerifyPrompt, _KIND)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace ``{name}`` by its value, once and literally: braces and ``%s`` in the values survive."""
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], m[0]), template)


@lru_cache(maxsize=8)
def conversation_prompt(lang: Lang, style: Style = "sinoner") -> ConversationPrompt:
    """The conversation turns of a language. UniversalNER has only English ones; its style is the paper's elsewhere."""
    name = "conversation_uniner" if style == "uniner" and lang == "en" else "conversation"
    return yamlfile.load(prompt_path(name, lang), ConversationPrompt, _KIND)


@lru_cache(maxsize=8)
def questions_prompt(lang: Lang) -> QuestionsPrompt:
    """The questions of a language for more than one type at once."""
    return yamlfile.load(prompt_path("questions", lang), QuestionsPrompt, _KIND)


def prompt_path(name: str, lang: Lang) -> Path:
    """The file of a prompt: the highest version of a shipped one, or a YAML path (``{lang}`` in it is replaced).

    Raises:
        InputError: there is none.
    """
    if name.endswith((".yaml", ".yml")):
        found = resources.find(name.replace("{lang}", lang))
        if found is None:
            raise InputError(f"annotate.prompt: {name}: no such file")
        return found
    folder = resources.data_root() / "prompts"
    versions = sorted(folder.glob(f"{name}.{lang}.v*.yaml"), key=lambda p: int(p.stem.rpartition(".v")[2]))
    if not versions:
        others = {
            "conversation",
            "conversation_uniner",
            "guidance",
            "questions",
            "verify",
        }  # no construction prompts
        names = sorted({p.name.split(".")[0] for p in folder.glob("*.yaml")} - others)
        raise InputError(f"annotate.prompt: no prompt {name!r} for {lang}; there are: {', '.join(names)}")
    return versions[-1]
