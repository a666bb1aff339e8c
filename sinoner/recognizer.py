"""Inference with a fine-tuned model: text and types in, entities out."""

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
    """A fine-tuned model that extracts the entities of given types from a text.

    Load one with ``Recognizer.from_pretrained``; the constructor is internal.

    Example:
        >>> from sinoner import Recognizer
        >>> recognizer = Recognizer.from_pretrained("runs/news")
        >>> annotation = recognizer.extract("张伟在北京大学教书。", ["人名", "组织机构"])
        >>> {entity.type for entity in annotation.entities} <= {"人名", "组织机构"}
        True
    """

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
        """Load a model for inference.

        Args:
            model: a run folder (its adapter), an adapter folder, a model folder, or a model on the Hugging Face Hub
                (``OWNER/NAME``).
            base: base model of an adapter; None is the one that the adapter names.
            device: ``auto`` or a torch device.
            style: the style of the conversations that the model was trained on; None is that of the run folder, else
                ``sinoner``.
            mode: the mode of these conversations: one question for each type (``passage``, ``type``) or one for all
                (``all``, ``schema``); None is that of the run folder, else ``passage``.

        Raises:
            InputError: the model cannot be loaded.
            MissingExtraError: the libraries of ``sinoner[train]`` are not installed.

        Example:
            >>> from sinoner import Recognizer
            >>> recognizer = Recognizer.from_pretrained("runs/news", device="cpu")
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
        """Extract the entities of given types from a text.

        Mentions that are not in the text are left out. A model trained with mode ``all`` does not see the types: of
        its answer, the entities of these types are kept.

        Args:
            text: the text.
            types: natural names of the types, as in training.
            examples: annotated passages to show to the model before the question, best first.

        Returns:
            The text as a passage, with its entities.

        Raises:
            InputError: the text is empty.

        Example:
            >>> from sinoner import Recognizer
            >>> annotation = Recognizer.from_pretrained("runs/news").extract("张伟在北京。", ["人名"])
            >>> annotation.passage.text
            '张伟在北京。'
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
