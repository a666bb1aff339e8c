"""Using a tuned model: text and types in, entities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sinoner import models, recipe
from sinoner.answers import parse_surfaces
from sinoner.errors import InputError
from sinoner.generate.local import LocalGenerator
from sinoner.itset.render import query_conversation
from sinoner.records import Annotation, Entity, Passage
from sinoner.settings.itset import Style
from sinoner.text.ground import Grounded, ground
from sinoner.text.lang import detect_lang

if TYPE_CHECKING:
    from sinoner.generate.local import Generator


class Recognizer:
    """A model that answers type queries."""

    def __init__(self, generator: Generator, name: str, style: Style = "sinoner") -> None:
        self._generate = generator
        self._name = name
        self._style = style

    @classmethod
    def from_pretrained(
        cls, model: str, *, base: str | None = None, device: str = "auto", style: Style | None = None
    ) -> Recognizer:
        """Load a model folder, hub id, adapter folder, or run folder (its adapter).

        Args:
            model: what to load.
            base: base model of an adapter, when another than the adapter names.
            device: ``auto`` or a torch device.
            style: the style of the conversations that the model was trained on; by default that of the run
                folder, else ``sinoner``.

        Raises:
            InputError: it cannot be loaded.
        """
        path = Path(model)
        if style is None:
            trained = path / "recipe.yaml"
            style = recipe.load(trained).it_set.style if trained.is_file() else "sinoner"
        adapter = next((p for p in (path / "adapter", path) if (p / "adapter_config.json").is_file()), None)
        if adapter is None:
            loaded, tokenizer = models.load(model, device_name=device)
        else:
            loaded, tokenizer = models.load(
                base or models.adapter_base(adapter), adapter=adapter, device_name=device
            )
        return cls(LocalGenerator(loaded, tokenizer, batch_size=16, max_new_tokens=256), model, style)

    def extract(self, text: str, types: Sequence[str], examples: Sequence[Annotation] = ()) -> Annotation:
        """The entities of these types in a text; what the model names that is not in the text is left out.

        Raises:
            InputError: the text is empty.
        """
        if not text.strip():
            raise InputError("there is no text to look at")
        passage = Passage(id="text#0", text=text, source="predict", lang=detect_lang(text))
        queries = [query_conversation(passage, kind, examples, self._style) for kind in types]
        entities: dict[tuple[str, str], Entity] = {}
        for kind, raw in zip(types, self._generate(queries), strict=True):
            for mention in parse_surfaces(raw).surfaces:
                if isinstance(found := ground(text, mention), Grounded):
                    entities[found.surface, kind] = Entity(
                        surface=found.surface, type=kind, starts=found.starts
                    )
        return Annotation(passage=passage, entities=tuple(entities.values()), by=self._name)
