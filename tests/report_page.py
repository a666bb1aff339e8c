"""A report page parsed like in a browser, and a report with one word in every place that is filled from data."""

from __future__ import annotations

from html.parser import HTMLParser
from importlib import resources
from typing import Any

from annotators import annotator

from sinoner import measurements
from sinoner.measurements import Score
from sinoner.records import Annotation, Conversation, Entity, Message, Passage, Reject
from sinoner.report import data as shown

VOID = {"meta", "br", "input"}
SCRIPT = resources.files("sinoner.report").joinpath("page.js").read_text(encoding="utf-8").strip()
# Texts that would be harmful as markup or script; each calls evil() in a different way.
HOSTILE = (
    "<script>evil()</script>",
    "</script><script>evil()</script>",
    "</style><style>evil{}</style>",
    "</title></text></svg><img src=x onerror=evil()>",
    '" onmouseover="evil()" evil=\'1',
    "' onfocus='evil()' autofocus x='",
    "<a href='javascript:evil()'>evil</a>",
    "--><!-- evil <![CDATA[ evil ]]>",
    "]]>\u2028evil()\u2029<!--<script>",
    "\\u003c/script\\u003e\\",
    "{{ evil }}{% evil %}",
    "&lt;evil&gt; &amp;evil;",
)


class Page(HTMLParser):
    """The tree as a browser would build it: elements, attributes, and the text of each class."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[tuple[str, str], ...], str]] = []
        self.comments: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop()[0] == tag

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self._open), data))

    def text(self, tag: str, kind: str = "", without: str = "") -> list[str]:
        """The texts of each run inside ``tag`` with class word ``kind`` and not inside class ``without``."""
        return [
            t
            for path, t in self.texts
            if any(name == tag and (not kind or kind in cls.split()) for name, cls in path)
            and not (without and any(without in cls.split() for _, cls in path))
        ]

    def directly(self, tag: str, parent: tuple[str, str]) -> list[str]:
        """The texts in a ``tag`` anywhere below ``parent``, a (tag, class) pair."""
        return [t for path, t in self.texts if path and path[-1][0] == tag and parent in path]


def annotation(text: str, *entities: tuple[str, str, int], id: str = "p#0", by: str = "test") -> Annotation:
    made = tuple(Entity(surface=s, type=t, starts=(i,)) for s, t, i in entities)
    return Annotation(
        passage=Passage(id=id, text=text, source="s", lang="zh"), entities=made, by=annotator(by)
    )


def score(model: str, examples: bool, f1: float, benchmark: str = "gold", **more: float) -> Score:
    return Score(
        benchmark=benchmark, lang="zh", model=model, examples=examples, passages=4, queries=8, gold=5, predicted=6,
        correct=2, unparsed=1, precision=f1, recall=f1, f1=f1, strict_precision=f1, strict_recall=f1, strict_f1=f1,
        **more,
    )  # fmt: skip


def full(word: str = "plain") -> shown.ReportData:
    """A report with ``word`` in every place that is filled from data."""
    passage = Passage(id=word, text=f"前{word}后", source=word, lang="zh")
    entity = Entity(surface=word, type=word, starts=(1,))
    outer = Entity(surface=f"前{word}", type=f"{word}2", original_type=word, starts=(0,))
    crossing = Entity(surface=f"{word}后", type=word, starts=(1,))
    reject = Reject(id=word, stage=word, reason="too_long", detail=word)
    roles = (("system", False), ("user", False), ("assistant", True))
    return shown.ReportData(
        name=word,
        version=word,
        created=word,
        stages=(
            shown.StageRow(name=word, unit=word, in_=9, out=8, rejected=1, seconds=0.5, note=word),
            shown.StageRow(name="chunk", unit="document", in_=9, out=8, rejected=1, seconds=0.5),
            shown.StageRow(name="annotate", unit="passage", in_=9, out=8, rejected=1, seconds=0.5),
            shown.StageRow(name="gold", unit="passage", in_=9, out=8, rejected=1, seconds=0.5),
        ),
        passages=9,
        conversations=3,
        rejects=(shown.RejectGroup(stage=word, unit=word, reason=word, count=1, samples=(reject,)),),
        hits=measurements.RuleHits(changed={word: 2, "types": 1}),
        inventory=inventory(word),
        **measured(word),
        **examples(word),
        annotations=(Annotation(passage=passage, entities=(outer, entity, crossing), by=annotator(word)),),
        examples=(
            Conversation(
                id=word, passage=word, first_query=0, types=(word,), examples=(word,),
                messages=tuple(Message(role=r, content=word, learn=x) for r, x in roles),  # type: ignore[arg-type]
            ),
        ),
        losses=((1, 2.0), (2, 1.0)),
        validation_losses=((2, 1.5),),
        scores=(score(word, True, 3.0, word), score("base", False, 1.0, word), score("tuned", False, 2.0, word)),
        settings=word,
        annotators=((word, 2), ("jieba", 1)),
    )  # fmt: skip


def examples(word: str) -> dict[str, Any]:
    some = measurements.Histogram(width=1, counts=(1, 3, 2))
    use = measurements.ExampleUse(
        lang=word, benchmark=word, strategy=word, k=2, embedder=word, method=word, recall=0.98, queries=9, pool=8,
        duplicates=1, by_number=(1, 2, 6), below=3, cut=1, cosine=0.5, first=0.6, cosines=some, bm25=21, scores=some,
        used=4, uses=some, half=2, most_used=((word, 5), ("b", 1)), most_used_texts=(word,), shared_types=40,
    )  # fmt: skip
    built = shown.BuiltSet(
        passages=9, rejects=((word, 1),), conversations=8, negatives=5, hard=2, shown=7, budget=99, shortened=1,
        dropped=2, too_long=1,
    )  # fmt: skip
    used = measurements.Examples(languages=(use, use))
    return {"use": used, "built": built, "shown": used}


def inventory(word: str) -> measurements.TypeInventory:
    types = tuple(
        measurements.TypeCount(
            lang=lang, type=f"{word}{n}", mentions=20 - n, passages=3, examples=(word, "x"), variants=((word, 1),),
            unstable=0.5, others=(word,),
        )
        for lang in (word, "en") for n in range(2)
    )  # fmt: skip
    return measurements.TypeInventory(types=types, before={word: 4}, after={word: 2}, singletons={word: 1})


def measured(word: str) -> dict[str, Any]:
    some = measurements.Histogram(width=1, counts=(1, 3, 2))
    pair = measurements.PairAgreement(a=word, b="b", passages=4, f1=50, span_f1=60)
    spans = measurements.SpanScore(
        scheme="strict", gold=4, predicted=4, correct=2, precision=50, recall=50, f1=50, low=40, high=60
    )
    kind = measurements.TypeScore(type=word, gold=4, predicted=4, correct=2, precision=50, recall=50, f1=50)
    return {
        "shape": measurements.Shape(lengths=some, mention_lengths=some, densities=some, entities=some),
        "agreement": measurements.Agreement(
            annotators=(word, "b"), passages=4, left_out=1, characters=90, pairs=(pair,), alpha=0.7, disagreements=2,
            types=(measurements.TypeAgreement(type=word, mentions=4, unanimous=2, f1=50),),
        ),
        "gold": (
            measurements.GoldScores(
                layer="filtered", gold=word, digest=word, passages=5, scored=3, missing=1, dropped=1, aligned=True,
                scores=(spans,), types=(kind,),
            ),
        ),
        "decontamination": measurements.Decontamination(
            checked=9, dropped=1,
            leaks=(measurements.Leak(benchmark=word, digest=word, passages=4, shared_ngram=1, near_duplicate=0, touched=1),),
        ),
        "benchmarks": (shown.BenchmarkCheck(name=word, checked=False),),
    }  # fmt: skip
