"""Several answers about a passage, one vote."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.vote import vote, voted
from sinoner.records import Annotation, Annotator, Entity, Passage, Reject

TEXT = "王明在上海，王明很忙。"


def sample(*entities: tuple[str, str, tuple[int, ...]], n: int = 0) -> Annotation:
    passage = Passage(id=f"d{n}#0", text=TEXT, source="s", lang="zh")
    return Annotation(
        passage=passage,
        entities=tuple(Entity(surface=s, type=t, starts=p) for s, t, p in entities),
        by=Annotator(source="llm", model="m", prompt="p"),
    )


MING, MING_ONCE, HAI = ("王明", "人名", (0, 6)), ("王明", "人名", (0,)), ("上海", "地点", (3,))
CITY = ("上海", "城市", (3,))


def test_what_enough_samples_name_is_kept_and_the_rest_is_a_reject():
    annotation, rejects = vote([sample(MING, HAI), sample(MING_ONCE, CITY), sample(MING)], 2)
    assert annotation.entities == (Entity(surface="王明", type="人名", starts=(0, 6)),)
    assert annotation.by.label == "m@p~vote2of3"
    assert [(r.reason, r.detail, r.unit) for r in rejects] == [
        ("few_votes", "上海 (地点): 1 of 3", "entity"),
        ("few_votes", "上海 (城市): 1 of 3", "entity"),
    ]


def test_votes_are_counted_place_by_place():
    annotation, rejects = vote([sample(MING), sample(MING_ONCE)], 2)
    assert annotation.entities == (Entity(surface="王明", type="人名", starts=(0,)),)
    assert [(r.reason, r.detail, r.unit) for r in rejects] == [
        ("few_votes", "王明 (人名) at 6: 1 of 2", "occurrence")
    ]


def test_one_vote_keeps_what_anybody_names():
    annotation, rejects = vote([sample(HAI), sample(CITY)], 1)
    assert [e.type for e in annotation.entities] == ["地点", "城市"]
    assert not rejects


@given(
    st.lists(
        st.lists(st.sampled_from([MING, MING_ONCE, HAI, CITY]), unique_by=lambda e: e[:2]),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 5),
)
def test_a_vote_is_a_count(samples, least):
    annotation, rejects = vote([sample(*s) for s in samples], least)
    count = Counter((s, t, p) for entities in samples for s, t, places in entities for p in places)
    kept = {(e.surface, e.type, p) for e in annotation.entities for p in e.starts}
    assert kept == {key for key, votes in count.items() if votes >= least}
    named = {(s, t) for s, t, _ in count}
    units = Counter(r.unit for r in rejects)
    assert len(annotation.entities) + units["entity"] == len(named)
    lost = {key for key in count if key[:2] in {(e.surface, e.type) for e in annotation.entities}} - kept
    assert units["occurrence"] == len(lost)


def test_hand_made_annotations_have_no_samples_and_pass():
    hand, primary, other = sample(HAI, n=1), sample(MING, n=2), sample(MING_ONCE, n=2)
    out = list(voted([hand, primary], [primary, other], 2))
    assert out[0] == hand
    assert isinstance(out[1], Annotation)
    assert out[1].by.label.endswith("~vote2of2")
    assert [x.unit for x in out if isinstance(x, Reject)] == ["occurrence"]  # 王明 at 6
