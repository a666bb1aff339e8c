"""The token budget: examples give way, the last one first; passage and answers never do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.corpus.chunker import counter
from sinoner.itset.render import conversations
from sinoner.itset.token_budget import MESSAGE_TOKENS, Fitted, fit, remembering
from sinoner.records import HUMAN, Annotation, Entity, Passage
from sinoner.settings.itset_section import Mode, Style
from sinoner.text.ground import occurrences


def annotation(text: str, *mentions: tuple[str, str], id: str = "p#0") -> Annotation:
    passage = Passage(id=id, text=text, source="test", lang="zh")
    entities = (Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in mentions)
    return Annotation(passage=passage, entities=tuple(entities), by=HUMAN)


ABOUT = annotation("林晓住在上海。", ("林晓", "人名"), ("上海", "地点"))
TYPES = ("人名", "疾病")
NEAR = annotation(
    "小满在杭州。王安在北京喝茶。陈默在成都。",
    ("小满", "人名"),
    ("北京", "地点"),
    ("陈默", "人名"),
    id="near",
)
FAR = annotation("小满说，她在杭州，也在北京，后来去成都了", ("杭州", "地点"), ("成都", "地点"), id="far")


def tokens(annotation: Annotation, examples: tuple[Annotation, ...], types: tuple[str, ...] = TYPES, style: Style = "sinoner", mode: Mode = "passage") -> int:  # fmt: skip
    """The longest conversation, in characters and 4 a message."""
    made = conversations(annotation, types, examples, style, mode)
    return max((sum(len(m.content) + 4 for m in c.messages) for c in made), default=0)


def fitted(room: int, examples: tuple[Annotation, ...] = (NEAR, FAR), how: str = "shorten", mode: Mode = "passage") -> Fitted:  # fmt: skip
    return fit(ABOUT, TYPES, examples, "sinoner", mode, max_tokens=room, how=how, count=len)  # type: ignore[arg-type]


def test_what_fits_stays_as_it_is() -> None:
    whole = tokens(ABOUT, (NEAR, FAR))
    assert fitted(whole) == Fitted((NEAR, FAR), 0, 0, False)
    assert fitted(whole - 1) != Fitted((NEAR, FAR), 0, 0, False)


def test_the_farthest_gives_way_first() -> None:
    whole = tokens(ABOUT, (NEAR, FAR))
    (near, far), shortened, dropped, over = fitted(whole - 1)
    assert (near, shortened, dropped, over) == (NEAR, 1, 0, False)
    assert far.passage.text == "小满说，她在杭州，也在北京，后来去成都"
    assert far.passage.id == "far"
    assert far.entities == FAR.entities
    (_, far), *_ = fitted(whole - 2)
    assert far.passage.text == "小满说，她在杭州，也在北京，"
    assert far.entities == (FAR.entities[0],)


def test_a_sentence_end_wins() -> None:
    (one,), shortened, dropped, _ = fitted(tokens(ABOUT, (NEAR,)) - 1, (NEAR,))
    assert one.passage.text == "小满在杭州。王安在北京喝茶。"
    assert [e.surface for e in one.entities] == ["小满", "北京"]
    assert (shortened, dropped) == (1, 0)
    shorter = annotation("小满在杭州。", ("小满", "人名"), id="near")
    assert fitted(tokens(ABOUT, (shorter,)), (NEAR,)).examples == (shorter,)
    assert fitted(tokens(ABOUT, (shorter,)) - 1, (NEAR,)).examples[0].passage.text == "小满"


def test_dropped_when_not_even_its_first_entity_fits() -> None:
    least = annotation("小满", ("小满", "人名"), id="near")
    assert fitted(tokens(ABOUT, (least,)), (NEAR,)) == Fitted((least,), 1, 0, False)
    assert fitted(tokens(ABOUT, (least,)) - 1, (NEAR,)) == Fitted((), 0, 1, False)
    assert fitted(tokens(ABOUT, (NEAR,)), (NEAR, FAR)) == Fitted((NEAR,), 0, 1, False)


def test_drop_drops_whole() -> None:
    whole = tokens(ABOUT, (NEAR, FAR))
    assert fitted(whole, how="drop") == Fitted((NEAR, FAR))
    assert fitted(whole - 1, how="drop") == Fitted((NEAR,), 0, 1, False)
    assert fitted(tokens(ABOUT, (NEAR,)) - 1, how="drop") == Fitted((), 0, 2, False)


def test_over_when_it_does_not_fit_even_without() -> None:
    alone = tokens(ABOUT, ())
    assert fitted(alone) == Fitted((), 0, 2, False)
    assert fitted(alone - 1) == Fitted((), 0, 2, True)
    assert fitted(alone - 1, ()) == Fitted((), 0, 0, True)
    assert fitted(alone, ()) == Fitted(())


def test_no_cut_goes_through_a_mention() -> None:
    odd = annotation("他在“雅虎！中国”工作，很久", ("“雅虎！中国”", "组织"), ("很", "字"), id="odd")
    (one,), *_ = fitted(tokens(ABOUT, (odd,)) - 1, (odd,))
    assert one.passage.text == "他在“雅虎！中国”工作，很"
    (one,), *_ = fitted(tokens(ABOUT, (odd,)) - 2, (odd,))
    assert one.passage.text == "他在“雅虎！中国”工作，"
    assert fitted(tokens(ABOUT, (annotation("他在“雅虎！", id="odd"),)), (odd,)).dropped == 1


def test_an_example_without_entities_may_be_cut() -> None:
    empty = annotation("今天天气好。我们出去走走吧。", id="empty")
    (one,), shortened, *_ = fitted(tokens(ABOUT, (empty,)) - 1, (empty,))
    assert (one.passage.text, one.entities, shortened) == ("今天天气好。", (), 1)


@pytest.mark.parametrize("mode", ["passage", "type", "all", "schema"])
def test_the_longest_conversation_counts(mode: Mode) -> None:
    whole = tokens(ABOUT, (NEAR, FAR), mode=mode)
    assert fitted(whole, mode=mode).examples == (NEAR, FAR)
    assert fitted(whole - 1, mode=mode).examples != (NEAR, FAR)


def test_counting_is_rare() -> None:
    texts: list[str] = []

    def count(text: str) -> int:
        texts.append(text)
        return len(text)

    types = tuple(f"类{n}" for n in range(20))
    fit(ABOUT, types, (NEAR, FAR), "sinoner", "type", max_tokens=10_000, how="shorten", count=count)
    assert len(texts) == len(set(texts)) == 20 + 2 + 2 + 1  # questions, opening, examples and read, []
    texts.clear()
    remembered = remembering(count)
    for _ in range(3):
        fit(ABOUT, types, (NEAR, FAR), "sinoner", "type", max_tokens=10_000, how="shorten", count=remembered)
    assert len([t for t in texts if len(t) <= 64]) == 20 + 2 + 1 + 1
    assert texts.count(conversations(ABOUT, types, (NEAR, FAR), "sinoner", "all")[0].messages[0].content) == 3


TEXT = st.text("甲乙。，!\n .aé𠮷", min_size=1, max_size=25)


@st.composite
def annotated(draw: st.DrawFn) -> Annotation:
    text = draw(TEXT)
    entities = []
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        entities.append(Entity(surface=text[start:end], type="类", starts=occurrences(text, text[start:end])))
    passage = Passage(id=draw(st.sampled_from(["a", "b"])), text=text, source="s", lang="zh")
    return Annotation(passage=passage, entities=tuple(entities), by=HUMAN)


@given(
    annotated(),
    st.lists(annotated(), max_size=3).map(tuple),
    st.integers(32, 220),
    st.sampled_from(["rait", "sinoner"]),
    st.sampled_from(["passage", "type", "all", "schema"]),
    st.sampled_from(["shorten", "drop"]),
)
def test_what_holds_always(
    about: Annotation, examples: tuple[Annotation, ...], room: int, style: Style, mode: Mode, how: str
) -> None:
    types = ("类", "别")
    result = fit(about, types, examples, style, mode, max_tokens=room, how=how, count=len)  # type: ignore[arg-type]
    alone = tokens(about, (), types, style, mode)
    assert result.over == (alone > room)
    assert result.over or tokens(about, result.examples, types, style, mode) <= room
    assert len(result.examples) + result.dropped == len(examples)
    cut = [(whole, kept) for whole, kept in zip(examples, result.examples, strict=False) if whole != kept]
    assert len(cut) == result.shortened <= (how == "shorten")
    for whole, kept in cut:
        text = kept.passage.text
        assert kept == result.examples[-1]
        assert text.strip()
        assert whole.passage.text.startswith(text)
        assert len(text) < len(whole.passage.text)
        inside = {(e.surface, s) for e in whole.entities for s in e.starts if s + len(e.surface) <= len(text)}
        assert {(e.surface, s) for e in kept.entities for s in e.starts} == inside
        assert bool(kept.entities) == bool(whole.entities)
        assert not any(s < len(text) < s + len(e.surface) for e in whole.entities for s in e.starts)
    if how == "drop" and result.dropped and not result.over:
        assert tokens(about, examples[: len(result.examples) + 1], types, style, mode) > room


def test_with_a_real_tokenizer() -> None:
    till = counter("o200k_base")

    def count(text: str) -> int:
        n = till(text, 10**9)
        assert n is not None
        return n

    long = annotation("上海的林晓说，今天的天气很好。" * 20, ("林晓", "人名"), id="long")
    result = fit(ABOUT, TYPES, (long,), "sinoner", "passage", max_tokens=200, how="shorten", count=count)
    (made,) = conversations(ABOUT, TYPES, result.examples, "sinoner", "passage")
    used = sum(count(m.content) + MESSAGE_TOKENS for m in made.messages)
    assert result.shortened == 1
    assert 185 < used <= 200
    assert result.examples[0].passage.text.endswith("很好。")
