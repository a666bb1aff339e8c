"""What a passage is asked with: prompt, guidance, demonstrations and answer format, as the body of a request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from sinoner.annotate.demonstrations import Demonstrations
from sinoner.llm.request import Request, make_request, request_body
from sinoner.prompts import ExtractPrompt, extract_prompt, fill, guidance_prompt
from sinoner.records import Annotation, Annotator, Lang, Message, Passage
from sinoner.settings import AnnotateSettings, LlmSettings

Output = Literal["json_schema", "json_object", "text"]
# Answers that do not read are quoted back up to this many characters.
_QUOTED = 2000


@dataclass(frozen=True)
class Asking:
    """Everything that the questions of a run depend on.

    Attributes:
        settings: prompt, types, domain, samples.
        llm: models, temperature, tokens.
        identity: the endpoint's name in request keys.
        outputs: the answer format of each model.
        demonstrations: gold passages to show, if any.
    """

    settings: AnnotateSettings
    llm: LlmSettings
    identity: str
    outputs: Mapping[str, Output] = field(default_factory=dict)
    demonstrations: Demonstrations | None = None

    @cached_property
    def rounds(self) -> tuple[tuple[str, int], ...]:
        """The (model, sample) pairs that every passage is asked with, the one that counts first."""
        models = (self.llm.model or "", *self.llm.more_models)
        return tuple((model, sample) for sample in range(self.settings.samples) for model in models)

    def output(self, model: str) -> Output:
        """The answer format of a model; the paper's text where nothing else is known."""
        return self.outputs.get(model, "text")

    def prompt(self, model: str, lang: Lang) -> ExtractPrompt:
        """The construction prompt. A prompt of the person's own is used whatever the format."""
        name = self.settings.prompt
        if name == "extract" and self.output(model) != "text":
            name = "extract_json"
        if (name, lang) not in self._prompts:
            self._prompts[name, lang] = extract_prompt(name, lang)
        return self._prompts[name, lang]

    def prompts_used(self) -> tuple[str, ...]:
        """The construction prompts that this run may use, by name, whatever formats are found out."""
        if self.settings.prompt != "extract" or self.llm.output == "text":
            return (self.settings.prompt,)
        return ("extract", "extract_json") if self.llm.output == "auto" else ("extract_json",)

    @cached_property
    def _prompts(self) -> dict[tuple[str, Lang], ExtractPrompt]:
        return {}

    @cached_property
    def _annotators(self) -> dict[tuple[str, str, int, bool], Annotator]:
        return {}

    @cached_property
    def _guided(self) -> dict[Lang, str]:
        langs: list[Lang] = ["zh", "en"]
        return {lang: guidance(self.settings, lang) for lang in langs}

    def messages(self, passage: Passage, model: str) -> tuple[Message, ...]:
        """The messages for a passage: the passage stands in the user's last turn and nowhere else."""
        prompt = self.prompt(model, passage.lang)
        system, question = prompt.messages(passage.text)
        if guided := self._guided[passage.lang]:
            system = Message(role="system", content=f"{system.content}\n{guided}")
        shown: list[Message] = []
        if self.demonstrations is not None:
            for example in self.demonstrations.nearest(passage.text, passage.lang):
                shown.append(prompt.messages(example.passage.text)[1])
                shown.append(Message(role="assistant", content=written(example, self.output(model))))
        return (system, *shown, question)

    def request(
        self, passage: Passage, model: str, sample: int, messages: tuple[Message, ...], *, more_tokens: bool
    ) -> Request:
        """The request of these messages; ``more_tokens`` doubles what the answer may have."""
        return make_request(
            self.body(model, messages, self._format(model), more_tokens=more_tokens),
            self.identity,
            passage.id,
            sample=sample,
        )

    def body(
        self,
        model: str,
        messages: tuple[Message, ...],
        response_format: dict[str, Any] | None,
        *,
        more_tokens: bool,
    ) -> dict[str, Any]:
        """The body of a request, whatever it asks; ``more_tokens`` doubles what the answer may have."""
        body = request_body(model, messages, self.llm, response_format)
        if more_tokens:
            name = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
            body[name] = 2 * int(body.get(name) or self.llm.max_tokens)
        return body

    def _format(self, model: str) -> dict[str, Any] | None:
        return response_format(self.output(model), tuple(self.settings.types))

    def ask_again(
        self, passage: Passage, messages: tuple[Message, ...], answer: str, error: str
    ) -> tuple[Message, ...]:
        """The messages that quote an unreadable answer and say what is wrong with it."""
        quoted = answer[:_QUOTED].encode("utf-8", "backslashreplace").decode() or "…"
        words = fill(guidance_prompt(passage.lang).reask, {"error": error})
        return (*messages, Message(role="assistant", content=quoted), Message(role="user", content=words))

    def by(self, passage: Passage, model: str, sample: int = 0, *, truncated: bool = False) -> Annotator:
        """Who annotated, for the data: model, prompt, what was added to it, and which sample it was."""
        prompt = self.prompt(model, passage.lang)
        key = (model, prompt.id, sample, truncated)
        if key not in self._annotators:
            self._annotators[key] = Annotator(
                source="llm",
                model=model,
                prompt=prompt.id,
                family=prompt.family,
                types=bool(self.settings.types),
                domain=bool(self.settings.domain),
                shots=self.demonstrations is not None,
                sample=sample,
                truncated=truncated,
            )
        return self._annotators[key]


def guidance(settings: AnnotateSettings, lang: Lang) -> str:
    """What the settings add to the system message: a domain and a closed list of types; empty for neither."""
    words = guidance_prompt(lang)
    parts = []
    if settings.domain:
        parts.append(fill(words.domain, {"domain": settings.domain}))
    if settings.types:
        parts.append(fill(words.types, {"types": listed_types(settings, lang)}))
    return "\n".join(parts)


def listed_types(settings: AnnotateSettings, lang: Lang) -> str:
    """The closed list of types with their definitions, one a line."""
    words = guidance_prompt(lang)
    return "\n".join(
        fill(
            words.type if definition in ("", name) else words.defined,
            {"type": name, "definition": definition},
        )
        for name, definition in settings.types.items()
    )


def written(annotation: Annotation, output: Output) -> str:
    """The entities of a demonstration as the model shall write them."""
    pairs = ((e.surface, e.type) for e in annotation.entities)
    if output == "text":
        return json.dumps([{surface: kind} for surface, kind in pairs], ensure_ascii=False)
    entities = [{"mention": surface, "type": kind} for surface, kind in pairs]
    return json.dumps({"entities": entities}, ensure_ascii=False)


def response_format(output: Output, types: Iterable[str] = ()) -> dict[str, Any] | None:
    """The ``response_format`` of a request for entities: mention and type of each."""
    kind: dict[str, Any] = {"type": "string"}
    if names := list(types):
        kind["enum"] = names
    return list_format(output, "entities", {"mention": {"type": "string"}, "type": kind})


def list_format(output: Output, name: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``response_format`` for a list of objects under one name.

    It is an object and not a bare list because OpenAI's strict mode accepts objects only.

    Args:
        output: the answer format; ``text`` has none.
        name: what the list is called.
        fields: the JSON schema of each field of its objects; all are required.
    """
    if output == "text":
        return None
    if output == "json_object":
        return {"type": "json_object"}
    item = {
        "type": "object",
        "properties": dict(fields),
        "required": list(fields),
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {name: {"type": "array", "items": item}},
        "required": [name],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
