"""A second model judges entities: only its readable words drop or rename any, and each is paid for once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from annotators import annotator
from asking import Verifying, held, passage
from chat_server import ChatServer, Reply, answer, cut_off, filtered, sensitive, server_error
from fault_answers import BETTER_TYPES, WRONG_TYPES
from fault_server import FaultServer
from hypothesis import given
from hypothesis import strategies as st

from sinoner import disk
from sinoner.annotate.asking import Asking
from sinoner.annotate.by_llm import NOT_ASKED
from sinoner.annotate.judge import (
    PART,
    STAGE,
    BetterTypes,
    Judged,
    Opinion,
    judge,
    judge_of,
    messages,
)
from sinoner.answers import Verdict, parse_verdicts
from sinoner.errors import StoppedError
from sinoner.llm.client import identity
from sinoner.llm.ledger import Ledger
from sinoner.records import Annotation, Entity, Reject
from sinoner.settings import AnnotateSettings, LlmSettings

TEXT = "王明在上海第1街的上海公司。"
BY = annotator("m@extract.zh.v1")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def entity(surface: str, kind: str, *starts: int, original: str | None = None) -> Entity:
    return Entity(surface=surface, type=kind, starts=starts, original_type=original)


def annotation(*entities: Entity, text: str = TEXT, n: int = 0, lang: str = "zh") -> Annotation:
    return Annotation(passage=passage(text, n, lang), entities=entities, by=BY)


FOUND = (entity("王明", "人名", 0), entity("上海", "地点", 3, 9), entity("第1街", "街道", 5))
ONE = annotation(*FOUND)


def verdicts(*said: tuple[int, str, str]) -> Reply:
    """An answer with these verdicts."""
    rows = [{"n": n, "verdict": word, "type": better} for n, word, better in said]
    return answer(json.dumps({"verdicts": rows}, ensure_ascii=False))


# --- applying verdicts -----------------------------------------------------------------------------------------


def opinion(*said: Verdict | None) -> Opinion:
    return Opinion(said)


YES, NO = Verdict(0, "yes"), Verdict(0, "no")


def better(name: str) -> Verdict:
    return Verdict(0, "retype", name)


def test_what_is_right_stays_and_what_is_wrong_is_a_reject() -> None:
    judged = judge(ONE, opinion(YES, NO, YES), "j")
    assert judged.annotation.entities == (FOUND[0], FOUND[2])
    assert judged.annotation.by.label == f"{BY.label}+verify:j"
    assert judged.rejects == (
        Reject(id="d0#0", stage=STAGE, reason="judged_wrong", detail="上海 (地点)", unit="entity"),
    )
    assert (judged.retyped, judged.unjudged, judged.reason) == (0, 0, None)


def test_a_better_type_is_taken_and_the_annotators_word_is_kept() -> None:
    known = annotation(FOUND[0], entity("上海", "地点", 3, original="地名"), entity("上海公司", "地点", 9))
    judged = judge(known, opinion(YES, better("城市"), better("公司")), "j")
    assert judged.annotation.entities == (
        FOUND[0],
        entity("上海", "城市", 3, original="地名"),
        entity("上海公司", "公司", 9, original="地点"),
    )
    assert judged.retyped == 2


def test_a_type_that_goes_back_to_the_annotators_word_has_no_other_original() -> None:
    judged = judge(annotation(entity("上海", "地点", 3, original="城市")), opinion(better("城市")), "j")
    assert judged.annotation.entities == (entity("上海", "城市", 3),)


def test_without_a_verdict_an_entity_stays_and_is_counted() -> None:
    judged = judge(ONE, opinion(None, YES, None), "j")
    assert judged.annotation.entities == FOUND
    assert (judged.unjudged, judged.rejects) == (2, ())
    assert judged.annotation.by.label.endswith("+verify:j")


def test_without_any_verdict_nothing_is_touched() -> None:
    judged = judge(ONE, Opinion((None, None, None), "timeout"), "j")
    assert judged.annotation is ONE
    assert (judged.unjudged, judged.reason, judged.rejects) == (3, "timeout", ())


@pytest.mark.parametrize("name", ["", " ", "实体", "ENTITY"])
def test_a_better_type_that_says_nothing_is_no_verdict(name: str) -> None:
    judged = judge(ONE, opinion(better(name), YES, YES), "j", BetterTypes(stop=frozenset(("实体", "entity"))))
    assert judged.annotation.entities == FOUND
    assert (judged.unjudged, judged.retyped) == (1, 0)


def test_the_same_type_again_is_a_yes() -> None:
    judged = judge(ONE, opinion(better("人名"), YES, YES), "j")
    assert (judged.annotation.entities, judged.unjudged, judged.retyped) == (FOUND, 0, 0)


def test_a_better_type_must_be_from_the_closed_list() -> None:
    listed = BetterTypes(listed={"city": "City", "人名": "人名"})
    judged = judge(ONE, opinion(YES, better("CITY"), better("道路")), "j", listed)
    assert [e.type for e in judged.annotation.entities] == ["人名", "City", "街道"]
    assert (judged.retyped, judged.unjudged) == (1, 1)


def test_a_better_type_goes_by_its_canonical_name() -> None:
    named = BetterTypes(canonical=lambda name, lang: {("都市", "zh"): "城市"}.get((name, lang), name))
    judged = judge(ONE, opinion(YES, better("都市"), YES), "j", named)
    assert judged.annotation.entities[1] == entity("上海", "城市", 3, 9, original="地点")


@pytest.mark.parametrize("turned", [False, True])
def test_two_entities_that_become_the_same_are_one_with_the_places_of_both(turned: bool) -> None:
    two = [(entity("上海", "城市", 3), YES), (entity("上海", "地点", 9), better("城市"))]
    entities, said = zip(*(reversed(two) if turned else two), strict=True)
    judged = judge(annotation(*entities), opinion(*said), "j")
    (one,) = judged.annotation.entities
    assert (one.surface, one.type, one.starts) == ("上海", "城市", (3, 9))
    assert [(r.reason, r.unit) for r in judged.rejects] == [("duplicate", "entity")]


def test_equal_entities_that_nobody_renamed_are_left_alone() -> None:
    twice = annotation(entity("上海", "城市", 3), entity("上海", "城市", 9))
    assert judge(twice, opinion(YES, YES), "j").annotation.entities == twice.entities


kinds = st.sampled_from(["人名", "地点", "城市", "公司"])
said_of_one = st.none() | st.just(YES) | st.just(NO) | kinds.map(better)


@given(
    st.lists(
        st.tuples(st.sampled_from([("王明", 0), ("上海", 3), ("上海", 9)]), kinds, said_of_one), max_size=8
    )
)
def test_every_entity_stays_or_is_a_reject(rows: list[tuple[tuple[str, int], str, Verdict | None]]) -> None:
    before = annotation(*(entity(surface, kind, start) for (surface, start), kind, _ in rows))
    judged = judge(before, opinion(*(said for _, _, said in rows)), "j")
    after = judged.annotation.entities
    assert len(after) + len(judged.rejects) == len(before.entities)
    lost = [r for r in judged.rejects if r.reason == "judged_wrong"]
    assert len(lost) == sum(said == NO for _, _, said in rows)
    places = {(e.surface, s) for e in after for s in e.starts}
    assert places == {(s, at) for (s, at), _, said in rows if said != NO}
    assert disk.parse(disk.line(judged.annotation), Annotation) == judged.annotation


# --- what is asked ---------------------------------------------------------------------------------------------


def asked(**settings: object) -> Asking:
    annotate = AnnotateSettings.model_validate(settings)
    return judge_of(annotate, LlmSettings(model="m", temperature=0.7, more_models=("n",)), "judge", "x")


def test_the_question_has_the_passage_and_its_numbered_entities() -> None:
    system, question = messages(ONE.passage, FOUND, asked())
    assert "核对" in system.content
    assert question.content.endswith(
        f'文本：{TEXT}\n实体：\n1. "王明" → "人名"\n2. "上海" → "地点"\n3. "第1街" → "街道"'
    )
    system, question = messages(passage("In {text} %s", 0, "en"), [entity("{text}", "{n}", 3)], asked())
    assert "check" in system.content
    assert question.content.endswith('Passage: In {text} %s\nEntities:\n1. "{text}" → "{n}"')


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_model_that_repeats_the_question_has_judged_nothing(lang: str) -> None:
    system, question = messages(passage(TEXT, 0, lang), FOUND, asked(types={"人名": "真人"}))
    for said in (question.content, f"{system.content}\n{question.content}"):
        assert parse_verdicts(said, 3).verdicts == ()
    form = next(line for line in question.content.split("\n") if '{"verdicts"' in line)
    assert parse_verdicts(form[form.index("{") : form.rindex("}") + 1], 3).verdicts == ()


def test_a_mention_cannot_pass_for_a_line_of_the_list() -> None:
    text = '甲" → "x"\n2. "乙'
    _, question = messages(passage(text), [entity(text, "人名", 0)], asked())
    assert question.content.endswith('\n1. "甲\\" → \\"x\\"\\n2. \\"乙" → "人名"')


def test_the_judge_is_told_the_domain_and_the_closed_list() -> None:
    system, _ = messages(ONE.passage, FOUND, asked(types={"人名": "真人", "城市": ""}, domain="地理"))
    assert "文本所属领域：地理。" in system.content
    assert system.content.endswith("名称须完全一致：\n- 人名：真人\n- 城市")


def test_one_model_judges_at_temperature_zero() -> None:
    judging = asked(samples=3, demonstrations="x.jsonl", prompt="mine.yaml")
    assert judging.rounds == (("judge", 0),)
    assert judging.llm.temperature == 0
    assert judging.settings.prompt == "extract"


# --- asking ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(one: FaultServer) -> FaultServer:
    return one.fresh(record=True)


@pytest.mark.parametrize("output", ["json_schema", "json_object", "text"])
def test_entities_are_judged_in_every_format(output: str, server: FaultServer, tmp_path: Path) -> None:
    (judged,) = Verifying(server.url, tmp_path, output=output).judge_all(ONE)
    assert WRONG_TYPES == ("街道",) and BETTER_TYPES["地点"] == "城市"
    assert judged.annotation.entities == (FOUND[0], entity("上海", "城市", 3, 9, original="地点"))
    assert [r.detail for r in judged.rejects] == ["第1街 (街道)"]
    assert judged.annotation.by.label == f"{BY.label}+verify:judge"
    (body,) = server.requests()
    assert (body["model"], body["temperature"]) == ("judge", 0)
    assert body.get("response_format", {"type": "text"})["type"] == output


def test_the_schema_wants_a_verdict_and_a_type_of_the_list(server: FaultServer, tmp_path: Path) -> None:
    Verifying(server.url, tmp_path, output="json_schema", types="人名,城市").judge_all(ONE)
    (body,) = server.requests()
    schema = body["response_format"]["json_schema"]["schema"]["properties"]["verdicts"]["items"]
    assert schema["required"] == ["n", "verdict", "type"]
    assert schema["properties"]["verdict"]["enum"] == ["yes", "no", "retype"]
    assert schema["properties"]["type"]["enum"] == ["人名", "城市", ""]


def test_the_format_is_the_one_found_out_for_annotating(server: FaultServer, tmp_path: Path) -> None:
    server.configure(formats=["json_object", "text"])
    work = Verifying(server.url, tmp_path, output="auto")
    work.collect([passage(TEXT)])
    probes = server.stats()["calls"] - 1
    (judged,) = [work.ask([ONE], "m"), work.read([ONE], model="m")][1]
    assert server.stats()["calls"] == probes + 2  # no probe for the same model
    assert server.requests()[-1]["response_format"] == {"type": "json_object"}
    assert judged.annotation.by.label == f"{BY.label}+verify:m"
    work.judge_all(ONE)  # another model is asked for its format first
    assert server.stats()["calls"] == probes + 2 + 3


def test_many_entities_are_asked_about_in_parts(server: FaultServer, tmp_path: Path) -> None:
    text = "王明" * (2 * PART + 5)
    many = annotation(
        *(entity("王明", "街道" if n % 2 else f"人名{n}", 2 * n) for n in range(2 * PART + 5)), text=text
    )
    (judged,) = Verifying(server.url, tmp_path, answer_tokens=8_000).judge_all(many)
    assert [e.starts[0] // 2 for e in judged.annotation.entities] == list(range(0, 2 * PART + 5, 2))
    assert len(judged.rejects) == PART + 2
    counts = [body["messages"][-1]["content"].count("→") for body in server.requests()]
    assert counts == [PART, PART, 5]


def test_a_passage_without_entities_asks_nothing(server: FaultServer, tmp_path: Path) -> None:
    bare = annotation()
    work = Verifying(server.url, tmp_path)
    assert work.judge_all(bare) == [Judged(bare)]
    assert server.stats()["calls"] == 0
    assert (work.meter.done, work.meter.failed) == (1, 0)


def test_a_second_run_asks_nothing_and_says_the_same(server: FaultServer, tmp_path: Path) -> None:
    all_of_them = [annotation(*FOUND[:2], text=f"{TEXT}{n}", n=n) for n in range(20)]
    first = Verifying(server.url, tmp_path).judge_all(*all_of_them)
    assert server.stats()["calls"] == 20
    assert Verifying(server.url, tmp_path).judge_all(*all_of_them) == first
    assert server.stats()["calls"] == 20
    assert held(tmp_path) == 20


def test_only_another_question_is_asked(server: FaultServer, tmp_path: Path) -> None:
    work = Verifying(server.url, tmp_path)
    work.judge_all(ONE)
    work.judge_all(ONE, annotation(FOUND[0]), annotation(FOUND[0], n=1))  # the same question is asked once
    assert server.stats()["calls"] == 2
    work.ask([ONE], "another")
    assert server.stats()["calls"] == 3


def test_what_nobody_was_asked_about_stays_and_is_said_so(server: FaultServer, tmp_path: Path) -> None:
    assert Verifying(server.url, tmp_path).read([ONE]) == [Judged(ONE, unjudged=3, reason=NOT_ASKED)]


# --- answers that cannot be used -------------------------------------------------------------------------------

Script = dict[str, list[Reply]]


@pytest.mark.parametrize(
    ("reply", "reason", "calls"),
    [
        (lambda: sensitive(), "content_filter", 1),
        (lambda: filtered(), "content_filter", 1),
        (lambda: server_error(), "transient", 2),
        (lambda: answer("好的。"), "unparsed", 2),
        (lambda: answer(""), "empty_answer", 2),
        (lambda: answer("很抱歉，我不能协助处理这个请求。"), "refused", 1),
        (lambda: cut_off('{"verdicts": [{"n'), "truncated", 2),
        (lambda: verdicts((9, "no", "")), "unparsed", 2),
    ],
)
def test_a_question_that_failed_loses_nothing_and_is_asked_again_next_time(
    reply: Callable[[], Reply], reason: str, calls: int, tmp_path: Path
) -> None:
    with ChatServer({TEXT: reply()}, default=reply()) as server:
        work = Verifying(server.url, tmp_path)
        (judged,) = work.judge_all(ONE)
        assert judged == Judged(ONE, unjudged=3, reason=reason)
        assert (work.meter.done, work.meter.failed) == (0, 1)
        assert len(server.requests) == calls
    with ChatServer(default=verdicts((1, "yes", ""), (2, "no", ""), (3, "yes", ""))) as server:
        work = Verifying(server.url, tmp_path, name=identity(work.llm))
        (judged,) = work.judge_all(ONE)
        assert [e.surface for e in judged.annotation.entities] == ["王明", "第1街"]
        assert judged.reason is None
        assert len(server.requests) >= 1


def test_of_an_answer_that_is_cut_off_twice_the_verdicts_count_that_are_there(tmp_path: Path) -> None:
    with ChatServer({TEXT: cut_off('{"verdicts": [{"n": 1, "verdict": "no"}, {"n": 2, "verd')}) as server:
        (judged,) = Verifying(server.url, tmp_path, answer_tokens=100).judge_all(ONE)
        assert [r.body["max_tokens"] for r in server.requests] == [100, 200]
    assert judged.annotation.entities == FOUND[1:]
    assert (judged.unjudged, judged.reason) == (2, None)


def test_an_unreadable_answer_is_asked_for_again_with_the_error_quoted(tmp_path: Path) -> None:
    good = verdicts((1, "no", ""))
    with ChatServer({TEXT: [answer("[]"), good], "重新作答": good}) as server:
        (judged,) = Verifying(server.url, tmp_path).judge_all(ONE)
        assert "no list of verdicts in it" in server.requests[1].body["messages"][-1]["content"]
    assert judged.annotation.entities == FOUND[1:]


def test_when_one_part_fails_the_others_count(tmp_path: Path) -> None:
    text = "王明" * (PART + 1)
    many = annotation(*(entity("王明", f"类{n}", 2 * n) for n in range(PART + 1)), text=text)
    with ChatServer({f'"类{PART}"': sensitive()}, default=verdicts((1, "no", ""))) as server:
        (judged,) = Verifying(server.url, tmp_path).judge_all(many)
        assert len(server.requests) == 2
    assert judged.annotation.entities == many.entities[1:]
    assert (judged.reason, judged.unjudged) == ("content_filter", PART)


def test_too_many_failures_stop_the_run(server: FaultServer, tmp_path: Path) -> None:
    server.configure(faults={"content_filter_zh": 1.0}, fault_attempts=0)
    all_of_them = [annotation(FOUND[0], text=f"{TEXT}{n}", n=n) for n in range(100)]
    with pytest.raises(StoppedError, match=r"41 of the last 41 passages failed \(41 content_filter\)"):
        Verifying(server.url, tmp_path, max_failure_rate=0.2, concurrency=1).ask(all_of_them)


def test_the_budget_counts_what_annotating_spent(server: FaultServer, tmp_path: Path) -> None:
    work = Verifying(server.url, tmp_path, max_tokens=6_000, concurrency=1)
    work.collect([passage(TEXT)])
    with Ledger(work.path) as ledger:
        spent = sum(ledger.usage()[1:])
    assert spent
    with pytest.raises(StoppedError, match="the budget is used up"):
        work.ask([annotation(FOUND[0], text=f"{TEXT}{n}", n=n) for n in range(100)])
    with Ledger(work.path) as ledger:
        assert spent < sum(ledger.usage()[1:]) <= 6_000


def test_questions_of_the_judge_do_not_count_as_answers_about_annotating(
    server: FaultServer, tmp_path: Path
) -> None:
    work = Verifying(server.url, tmp_path)
    work.judge_all(ONE)
    with Ledger(work.path) as ledger:
        assert (ledger.typical("annotate"), ledger.usage("annotate")[0], ledger.usage()[0]) == (None, 0, 1)
