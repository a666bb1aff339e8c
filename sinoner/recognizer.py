"""Using a tuned model: text and types in, entities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sinoner import models, recipe
from sinoner.errors import InputError
from sinoner.generate.transformers_backend import LocalGenerator
from sinoner.itset.predictions import answer_limit, predictions
from sinoner.itset.render import query_conversations
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.settings.itset_section import ItSetSettings, Mode, Style
from sinoner.text.ground import Grounded, ground
from sinoner.text.lang import detect_lang

if TYPE_CHECKING:
    from sinoner.generate.transformers_backend import Generator

# Tokens that the answer for one type may have.
_TOKENS = 256


class Recognizer:
    """A model that answers type queries."""

    def __init__(
        self, generator: Generator, name: str, style: Style = "sinoner", mode: Mode = "passage"
    ) -> None:
        self._generate = generator
        self._by = Annotator(source="model", model=name)
        self._style = style
        self._mode = mode

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        base: str | None = None,
        device: str = "auto",
        style: Style | None = None,
        mode: Mode | None = None,
    ) -> Recognizer:
        """Load a model folder, hub id, adapter folder, or run folder (its adapter).

        Args:
            model: what to load.
            base: base model of an adapter, when another than the adapter names.
            device: ``auto`` or a torch device.
            style: the style of the conversations that the model was trained on; by default that of the run
                folder, else ``sinoner``.
            mode: the mode of these conversations, which says how to ask; by default that of the run folder, else
                ``passage``.

        Raises:
            InputError: it cannot be loaded.
        """
        path = Path(model)
        kept = path / "recipe.yaml"
        trained = recipe.load(kept).it_set if kept.is_file() and None in (style, mode) else ItSetSettings()
        mode = mode or trained.mode
        adapter = next((p for p in (path / "adapter", path) if (p / "adapter_config.json").is_file()), None)
        if adapter is None:
            loaded, tokenizer = models.load(model, device_name=device)
        else:
            loaded, tokenizer = models.load(
                base or models.adapter_base(adapter),
                adapter=adapter,
                device_name=device,
                setting="base" if base else f"base model of {adapter}",
            )
        generator = LocalGenerator(
            loaded, tokenizer, batch_size=16, max_new_tokens=answer_limit(mode, _TOKENS)
        )
        return cls(generator, model, style or trained.style, mode)

    def extract(self, text: str, types: Sequence[str], examples: Sequence[Annotation] = ()) -> Annotation:
        """The entities of these types in a text; what the model names that is not in the text is left out.

        A model of mode ``all`` is not told the types: they choose among those that it names.

        Raises:
            InputError: the text is empty.
        """
        if not text.strip():
            raise InputError("there is no text to look at")
        passage = Passage(id="text#0", text=text, source="predict", lang=detect_lang(text))
        queries = query_conversations(passage, types, examples, self._style, self._mode)
        entities: dict[tuple[str, str], Entity] = {}
        for query, raw in zip(queries, self._generate(queries), strict=True):
            for kind, mention in predictions(query, raw, self._mode).mentions():
                if isinstance(found := ground(text, mention), Grounded):
                    entities[found.surface, kind] = Entity(
                        surface=found.surface, type=kind, starts=found.starts
                    )
        return Annotation(passage=passage, entities=tuple(entities.values()), by=self._by)
