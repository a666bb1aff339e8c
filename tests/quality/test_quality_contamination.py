"""What shares text with a test set is found, by n-gram, as a whole or as a near-duplicate; what does not, stays."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.contamination import CHARACTERS, WORDS, Decontaminator
from sinoner.quality.contamination import TestSet as Benchmark
from sinoner.records import Passage
from sinoner.text.normal import normal, normal_words

ZH = "张伟二零一零年毕业于北京大学中文系，后来在上海的一家出版社工作。"
EN = "Anna Smith moved to Paris in 1999 and worked there as a painter for ten years."


def passage(text: str, number: int = 0, lang: str = "zh") -> Passage:
    return msgspec.convert({"id": f"p{number}", "text": text, "source": "s", "lang": lang}, Passage)


def benchmark(name: str, *texts: str, lang: str = "zh") -> Benchmark:
    return Benchmark(name, name * 3, [passage(text, n, lang) for n, text in enumerate(texts)])


def against(*tests: Benchmark, threshold: float = 0.8) -> Decontaminator:
    return Decontaminator(tests, threshold)


@pytest.mark.parametrize(
    "text",
    [
        ZH,
        f"据报道，{ZH}他很高兴。",
        "他说，毕业于北京大学中文系后来在",  # 13 characters and more, other punctuation
        "毕业于 北京大学 中文系！后来，在",
    ],
)
def test_a_piece_of_13_characters_is_found(text: str) -> None:
    (hit,) = against(benchmark("a", "别的话。", ZH)).find(passage(text)).hits
    assert hit.place == (0, 1)
    assert not hit.near
    assert len(hit.shared) >= CHARACTERS
    assert hit.shared in normal(text) and hit.shared in normal(ZH)


@pytest.mark.parametrize(
    "text",
    [
        "毕业于北京大学中文系后来",
        "今天的天气很好，适合散步。",
        "李娜二零一零年毕业于复旦大学中文系。",
        EN,
        "！",
    ],
)
def test_twelve_characters_or_other_text_stay(text: str) -> None:
    assert against(benchmark("a", ZH)).find(passage(text)).hits == ()


@pytest.mark.parametrize(
    "text",
    [
        EN,
        EN.upper(),
        "They say: Anna Smith moved to Paris in 1999... and so on.",
        "ＡＮＮＡ Smith moved to Paris in 1999 and",
        "moved—to—Paris; in 1999 (and worked) there",
    ],
)
def test_a_piece_of_8_english_words_is_found(text: str) -> None:
    (hit,) = against(benchmark("a", EN + " So it was.", lang="en")).find(passage(text, lang="en")).hits
    assert not hit.near
    assert len(hit.shared.split()) >= WORDS
    assert f" {hit.shared} " in f" {' '.join(normal_words(text))} "


def test_seven_english_words_stay() -> None:
    words = EN.split()
    decontaminator = against(benchmark("a", EN, lang="en"))
    assert decontaminator.find(passage(" ".join(words[:7]), lang="en")).hits == ()
    assert decontaminator.find(passage(" ".join(words[:8]), lang="en")).hits != ()
    assert (
        decontaminator.find(passage("Bob left on Anna Smith moved to Paris in 1990.", lang="en")).hits == ()
    )


def test_the_test_passage_decides_which_n_gram_counts() -> None:
    mixed = passage(f"他引用了这句话：{EN}", lang="zh")
    assert len(against(benchmark("a", EN, lang="en")).find(mixed).hits) == 1
    assert len(against(benchmark("a", ZH)).find(passage(f"He wrote {ZH}", lang="en")).hits) == 1


@pytest.mark.parametrize("again", ["天气很好。", "　天气，很好", "“天气很好”！"])
def test_a_short_test_passage_is_found_as_a_whole(again: str) -> None:
    (hit,) = against(benchmark("a", "天气很好")).find(passage(again)).hits
    assert (hit.shared, hit.near) == ("天气很好", False)


def test_a_short_test_passage_inside_a_longer_one_is_not_looked_for() -> None:
    decontaminator = against(benchmark("a", "天气很好"), benchmark("b", "Anna left Paris", lang="en"))
    assert decontaminator.find(passage("今天天气很好")).hits == ()
    assert decontaminator.find(passage("Yesterday Anna left Paris", lang="en")).hits == ()
    assert [h.place for h in decontaminator.find(passage("anna left paris!", lang="en")).hits] == [(1, 0)]


def test_letters_and_addresses_alone_do_not_make_a_chinese_piece() -> None:
    decontaminator = against(benchmark("a", "他在 Tilak Secondary School 读书，网址 http://t.cn/z8AU8Pa"))
    assert decontaminator.find(passage("She went to secondary school in Rome.", lang="en")).hits == ()
    assert decontaminator.find(passage("Read http://t.cn/z8AU8Pa now", lang="en")).hits == ()
    assert (
        decontaminator.find(passage("小明在Tilak Secondary School读书")).hits == ()
    )  # hardly a Han character in it
    mostly_chinese = against(benchmark("a", "他在一所名叫Tilak的中学读完了初中和高中"))
    assert len(mostly_chinese.find(passage("她在一所名叫Tilak的中学读完了初中")).hits) == 1


def test_a_chinese_test_passage_of_letters_is_found_as_a_whole_or_nearly() -> None:
    text = "i9-7900x/gtx1080ti/960evo,500g/32gb"
    decontaminator = against(benchmark("a", text))
    assert [h.near for h in decontaminator.find(passage(text.upper())).hits] == [False]
    assert [h.near for h in decontaminator.find(passage(text + "2")).hits] == [True]


def test_a_near_duplicate_without_a_common_piece_is_found() -> None:
    words = "one two threa four five six seven eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    changed = words.replace("threa", "three").replace("tenth", "tentx")
    (hit,) = against(benchmark("a", words, lang="en"), threshold=0.7).find(passage(changed, lang="en")).hits
    assert hit.near
    assert hit.shared.startswith("similarity 0.")
    assert (
        against(benchmark("a", words, lang="en"), threshold=0.95).find(passage(changed, lang="en")).hits == ()
    )


def test_every_test_set_counts_its_own_hits() -> None:
    tests = (
        benchmark("a", "别的", ZH),
        benchmark("b", EN, lang="en"),
        benchmark("c", "无关的话"),
        benchmark("d", ZH[:20], ZH),
    )
    decontaminator = against(*tests)
    assert [h.place for h in decontaminator.find(passage(ZH + EN)).hits] == [(0, 1), (1, 0), (3, 0)]
    near = EN.replace("Paris", "Parix").replace("painter", "paintex")
    both = against(benchmark("x", EN, lang="en"), benchmark("y", "no", EN, lang="en"), threshold=0.6)
    assert next((h.place, h.near) for h in both.find(passage(near, lang="en")).hits) == ((0, 0), True)


def test_a_reject_names_the_test_set_the_passage_and_the_piece() -> None:
    decontaminator = against(benchmark("a", "别的", ZH), benchmark("b", ZH))
    reject = decontaminator.check(passage(ZH, 7))
    assert reject is not None
    assert (reject.id, reject.stage, reject.reason, reject.unit) == (
        "p7",
        "decontaminate",
        "shared_ngram",
        "passage",
    )
    assert reject.detail.startswith(f"a p1: {normal(ZH)[:13]}")
    assert decontaminator.check(passage("今天的天气很好。")) is None
    near = against(benchmark("a", "name a science fiction film from 1965", lang="en"))
    reject = near.check(passage("name a science fiction film from 1961", lang="en"))
    assert reject is not None
    assert reject.reason == "near_test"
    assert reject.detail.startswith("a p0: similarity 0.9")
    assert [(leak.shared_ngram, leak.near_duplicate, leak.touched) for leak in near.result().leaks] == [
        (0, 1, 1)
    ]


def test_the_result_counts_passages_test_sets_and_touched_test_passages() -> None:
    decontaminator = against(benchmark("a", "别的", ZH, ZH), benchmark("b", EN, "short", lang="en"))
    for n, text in enumerate([ZH, f"又：{ZH}", ZH + EN, "无关", "short", EN.replace(" ", "")]):
        decontaminator.check(passage(text, n))
    result = decontaminator.result()
    assert (result.checked, result.dropped) == (6, 5)
    a, b = result.leaks
    assert (a.benchmark, a.digest, a.passages, a.shared_ngram, a.near_duplicate, a.touched) == (
        "a",
        "aaa",
        3,
        3,
        0,
        2,
    )
    assert (b.benchmark, b.digest, b.passages, b.shared_ngram, b.near_duplicate, b.touched) == (
        "b",
        "bbb",
        2,
        3,
        0,
        2,
    )


def test_without_a_test_set_everything_stays() -> None:
    decontaminator = against()
    assert decontaminator.check(passage(ZH)) is None
    result = decontaminator.result()
    assert (result.checked, result.dropped, result.leaks) == (1, 0, ())


def test_a_test_passage_without_letters_hits_nothing() -> None:
    decontaminator = against(benchmark("a", "……", "！"))
    assert decontaminator.find(passage("。")).hits == ()


def shares(text: str, tests: Sequence[tuple[str, str]]) -> bool:
    """Sharing by sets of strings, without the search for near-duplicates."""

    def characters(t: str) -> set[str]:
        found = {normal(t)[i : i + 13] for i in range(len(normal(t)) - 12)}
        return {p for p in found if sum("\u4e00" <= c <= "\u9fff" for c in p) >= 7}

    def words(t: str) -> set[tuple[str, ...]]:
        w = normal_words(t)
        return {tuple(w[i : i + 8]) for i in range(len(w) - 7)}

    for other, lang in tests:
        of = characters if lang == "zh" else words
        if set(of(other)) & set(of(text)) or normal(other) == normal(text) != "":
            return True
    return False


CHINESE = st.lists(
    st.sampled_from(["张伟", "在北京", "大学", "教书。", "Anna", "1999", "，"]), min_size=1, max_size=9
)
ENGLISH = st.lists(st.sampled_from(["Anna", "went", "to", "Paris.", "in", "1999,"]), min_size=1, max_size=11)
TEXT = CHINESE.map(lambda x: ("".join(x), "zh")) | ENGLISH.map(lambda x: (" ".join(x), "en"))


@given(TEXT, st.lists(TEXT, max_size=4))
def test_hits_as_sets_of_strings_find_them(text: tuple[str, str], tests: list[tuple[str, str]]) -> None:
    sets = [Benchmark(str(n), "", [passage(t, 0, lang)]) for n, (t, lang) in enumerate(tests)]
    found = Decontaminator(sets, 1.0).find(passage(text[0], 0, text[1])).hits
    by_gram = {hit.place[0] for hit in found if not hit.near}
    assert by_gram == {n for n, test in enumerate(tests) if shares(text[0], [test])}


def test_the_same_passages_give_the_same_result() -> None:
    texts = [ZH, EN, ZH[:15], ZH[5:], "天气", EN + ZH]
    results = []
    for _ in range(2):
        decontaminator = against(benchmark("a", *texts[:3]), benchmark("b", *texts[3:], lang="en"))
        results.append(
            ([decontaminator.check(passage(t, n)) for n, t in enumerate(texts)], decontaminator.result())
        )
    assert results[0] == results[1]
