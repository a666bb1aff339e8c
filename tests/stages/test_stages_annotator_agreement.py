"""Where the annotations that are compared come from, how passages are matched, and the files that are written."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from annotators import annotator
from msgspec.structs import replace
from rich.console import Console

from sinoner import disk
from sinoner.commands.agreement_table import print_agreement
from sinoner.errors import InputError
from sinoner.measurements import Agreement
from sinoner.quality.agreement import Disagreement
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.run.folder import locked
from sinoner.run.layout import AGREEMENT, ANNOTATIONS, DISAGREEMENTS, FILTERED, PASSAGES, SAMPLES
from sinoner.stages.annotator_agreement import agree, agreement_of_samples, folder_of

TEXTS = ("王明在上海。", "李娜去了深圳。", "王强在广州上班。")
NAMED = (("王明", "人名"), ("李娜", "人名"), ("王强", "人名"))


def one(
    text: str, *mentions: tuple[str, str], id: str | None = None, by: str = "jieba", source: str = "s"
) -> Annotation:
    entities = (Entity(surface=s, type=t, starts=(text.index(s),)) for s, t in mentions)
    passage = Passage(id=id or f"{text[:2]}#0", text=text, source=source, lang="zh")
    return Annotation(passage=passage, entities=tuple(entities), by=annotator(by))


ALL = [one(text, named) for text, named in zip(TEXTS, NAMED, strict=True)]


def file(path: Path, annotations: Sequence[Annotation]) -> str:
    disk.write_records(path, annotations)
    return str(path)


def run(folder: Path, annotations: Sequence[Annotation], filtered: Sequence[Annotation] | None = None) -> str:
    disk.write_text(folder / "recipe.yaml", "{}\n")
    file(folder / ANNOTATIONS, annotations)
    if filtered is not None:
        file(folder / FILTERED, filtered)
    return str(folder)


def gold(path: Path, annotations: Sequence[Annotation], ids: str = "g") -> str:
    rows = [
        {
            "id": f"{ids}{n}",
            "text": a.passage.text,
            "entities": [
                {"start": s, "end": s + len(e.surface), "text": e.surface, "type": e.type}
                for e in a.entities
                for s in e.starts
            ],
        }
        for n, a in enumerate(annotations)
    ]
    disk.write_rows(path, rows)
    return str(path)


def refused(given: Sequence[str], out: Path | None = None, **more: str) -> str:
    with pytest.raises(InputError) as error:
        agree(given, out, **more)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def sheet(folder: Path) -> list[list[str]]:
    with (folder / "disagreements.csv").open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.reader(opened))


# --- samples of one run -----------------------------------------------------------------------------------------

FIRST = "m@extract.zh.v1"


def samples(*answers: tuple[str, Annotation]) -> list[Annotation]:
    return [replace(a, by=annotator(by)) for by, a in answers]


def sampled(folder: Path, *answers: tuple[str, Annotation]) -> str:
    given = run(folder, ALL)
    file(folder / SAMPLES, samples(*answers))
    return given


def test_samples_of_one_run(tmp_path: Path) -> None:
    given = sampled(
        tmp_path / "run",
        (FIRST, ALL[0]),
        (f"{FIRST}#2", one(TEXTS[0])),
        (f"{FIRST}#10", ALL[0]),
        (FIRST, ALL[1]),
        (f"{FIRST}#2~truncated", ALL[1]),
        (f"{FIRST}#10", ALL[1]),
        (FIRST, ALL[2]),
        (f"{FIRST}#10", ALL[2]),
    )
    result = agree([given], None)
    assert result.annotators == (FIRST, f"{FIRST}#2", f"{FIRST}#10")
    assert (result.passages, result.left_out, result.disagreements) == (2, 1, 1)
    assert [p.f1 for p in result.pairs] == [66.67, 100, 66.67]
    kept = Agreement.model_validate_json((tmp_path / "run" / AGREEMENT).read_bytes())
    assert kept == result


def test_samples_are_in_order_of_model_and_number(tmp_path: Path) -> None:
    given = sampled(
        tmp_path / "run",
        *((by, ALL[0]) for by in ("n@p#2", "n@p#10", "m@p", "n@p", "m@p#2")),
    )
    assert agree([given], None).annotators == ("n@p", "n@p#2", "n@p#10", "m@p", "m@p#2")


def test_one_run_without_samples(tmp_path: Path) -> None:
    assert "one answer per passage, nothing to compare" in refused([run(tmp_path / "a", ALL)])
    one_only = sampled(tmp_path / "b", (FIRST, ALL[0]), (f"{FIRST}~truncated", ALL[1]))
    assert "--samples K" in refused([one_only])
    assert "nothing to compare" in refused([file(tmp_path / "x.jsonl", ALL)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_samples_have_no_filtered_layer(tmp_path: Path) -> None:
    given = sampled(tmp_path / "run", (FIRST, ALL[0]), (f"{FIRST}#2", ALL[0]))
    assert "compared as annotated" in refused([given], layer="filtered")


def test_the_samples_file_is_no_annotator(tmp_path: Path) -> None:
    given = sampled(tmp_path / "run", (FIRST, ALL[0]), (f"{FIRST}#2", ALL[0]))
    assert "give its run folder alone" in refused([given, f"{given}/{SAMPLES}"])


# --- several sources --------------------------------------------------------------------------------------------


def test_runs_in_another_order_are_joined_by_id_and_text(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL)
    b = run(tmp_path / "b", [ALL[2], one(TEXTS[0]), ALL[1]])
    result = agree([a, b], None)
    assert (result.annotators, result.passages, result.left_out) == (("a", "b"), 3, 0)
    assert (result.pairs[0].f1, result.disagreements) == (80, 1)
    (row,) = disk.read_records(tmp_path / "a" / DISAGREEMENTS, Disagreement)
    assert (row.id, row.surface, row.votes) == ("王明#0", "王明", {"a": "人名", "b": ""})
    assert not (tmp_path / "b" / "quality").exists()


def test_equal_texts_under_other_ids_are_the_same_passage(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL)
    b = file(
        tmp_path / "b.jsonl", [one(x.passage.text, n, id="other") for x, n in zip(ALL, NAMED, strict=True)]
    )
    assert agree([a, b], None).pairs[0].f1 == 100


def test_the_same_id_with_another_text_is_another_passage(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL)
    b = file(tmp_path / "b.jsonl", [one("王明去北京。", ("王明", "人名")), ALL[1]])
    result = agree([a, b], None)
    assert (result.passages, result.left_out) == (1, 3)


def test_ids_tell_equal_texts_apart(tmp_path: Path) -> None:
    named, not_named = one(TEXTS[0], NAMED[0], id="x#0"), one(TEXTS[0], id="y#0")
    a = run(tmp_path / "a", [named, not_named])
    b = run(tmp_path / "b", [not_named, named])
    assert agree([a, b], None).pairs[0].f1 == 100


def test_of_a_text_that_stands_twice_elsewhere_the_first_counts(tmp_path: Path) -> None:
    a = run(tmp_path / "a", [one(TEXTS[0], NAMED[0], id="x#0"), one(TEXTS[0], NAMED[0], id="y#0")])
    b = file(tmp_path / "b.jsonl", [one(TEXTS[0], NAMED[0], id="p"), one(TEXTS[0], id="q")])
    result = agree([a, b], None)
    assert (result.passages, result.left_out, result.pairs[0].f1) == (2, 1, 100)


def test_what_only_some_annotated_is_counted_once(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL[:2])
    b = run(tmp_path / "b", ALL[1:])
    c = run(tmp_path / "c", [*ALL[1:], one("只有它。")])
    result = agree([a, b, c], tmp_path / "out")
    assert (result.passages, result.left_out) == (1, 3)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "agreement.json",
        "disagreements.jsonl",
        "disagreements.csv",
    }


def test_gold_as_a_file_and_as_a_folder(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL)
    hand = gold(tmp_path / "hand.jsonl", [ALL[1], ALL[0]])
    gold(tmp_path / "bench" / "test.jsonl", ALL, "h")
    result = agree([hand, a, str(tmp_path / "bench")], None)
    assert result.annotators == ("hand.jsonl", "a", "bench")
    assert (result.passages, result.left_out, result.disagreements) == (2, 1, 0)
    assert (tmp_path / "a" / AGREEMENT).is_file()  # the first run folder, not the first source
    assert {p.name for p in (tmp_path / "bench").iterdir()} == {"test.jsonl"}


def test_the_filtered_layer(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL, ALL[:1])
    b = run(tmp_path / "b", ALL, [one(TEXTS[0]), ALL[1]])
    assert agree([a, b], None).passages == 3
    result = agree([a, b], None, "filtered")
    assert (result.passages, result.left_out, result.pairs[0].f1) == (1, 1, 0)
    assert "run sinoner filter" in refused([a, run(tmp_path / "c", ALL)], layer="filtered")


def test_short_names_tell_the_sources_apart(tmp_path: Path) -> None:
    same = [run(tmp_path / part / "run", ALL) for part in ("a", "b")]
    assert agree(same, None).annotators == ("a/run", "b/run")
    assert agree([same[0], file(tmp_path / "b.jsonl", ALL)], None).annotators == ("run", "b.jsonl")


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", ALL), run(tmp_path / "b", [one("别的。")])
    missing = str(tmp_path / "no")
    assert f"{missing}: no such run folder or file" == refused([missing])
    assert f"{missing}: no such run folder or file" == refused([missing, a])
    assert f"{a}/: is given twice; name different runs" == refused([b, a, f"{a}/"])
    said = refused([a, b])
    assert "a, b: no passage was annotated by all of them (4 by some)" in said
    assert not list((tmp_path / "a" / "quality").iterdir())
    files = [file(tmp_path / f"{n}.jsonl", ALL) for n in "xy"]
    assert "no run folder among them; give --out" in refused(files)
    assert "is a file; give a folder" in refused(files, Path(files[0]))
    (tmp_path / "broken.jsonl").write_text('{"passage": 1, "by": "x"}\n', encoding="utf-8")
    assert "broken.jsonl:1: not a" in refused([a, str(tmp_path / "broken.jsonl")])
    (tmp_path / "d").mkdir()
    assert "contains neither test.jsonl nor dev.jsonl" in refused([a, str(tmp_path / "d")])
    (tmp_path / "d" / "recipe.yaml").write_text("{}", encoding="utf-8")
    assert "run sinoner annotate" in refused([a, str(tmp_path / "d")])


def test_a_run_folder_that_another_process_works_on_is_refused(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", ALL), run(tmp_path / "b", ALL)
    with locked(tmp_path / "a"):
        assert f"{a}: process {os.getpid()} is working on it" in refused([a, b])
        assert "is working on it" in refused([b, a], tmp_path / "a" / "quality")
        assert not (tmp_path / "a" / "quality").exists()
        assert agree([b, a], None).passages == 3  # a run that is only read is not held
        assert agree([a, b], tmp_path / "out").passages == 3


def test_figures_stay_when_nothing_can_be_compared(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL)
    agree([a, run(tmp_path / "b", ALL)], None)
    before = {p.name: p.read_bytes() for p in (tmp_path / "a" / "quality").iterdir()}
    refused([a, run(tmp_path / "c", [one("别的。")])])
    assert {p.name: p.read_bytes() for p in (tmp_path / "a" / "quality").iterdir()} == before


# --- documents that gold has whole ------------------------------------------------------------------------------


def chunks(folder: Path, *parts: tuple[str, tuple[tuple[str, str], ...] | None]) -> str:
    """A run with one document in several passages; None for one that has no annotations."""
    document = f"{folder.name}-d"
    made = [one(text, *(mentions or ()), id=f"{document}#{n}") for n, (text, mentions) in enumerate(parts)]
    made = [replace(a, passage=replace(a.passage, document=document)) for a in made]
    kept = [a for a, (_, mentions) in zip(made, parts, strict=True) if mentions is not None]
    disk.write_records(folder / PASSAGES, [a.passage for a in made])
    return run(folder, [ALL[2], *kept])


WHOLE = one("".join(TEXTS[:2]), NAMED[0], NAMED[1], ("上海", "地点"))


def test_chunks_are_joined_to_the_text_that_gold_has_whole(tmp_path: Path) -> None:
    a = chunks(tmp_path / "a", (TEXTS[0], (NAMED[0], ("上海", "城市"))), (TEXTS[1], (NAMED[1],)))
    hand = gold(tmp_path / "hand.jsonl", [WHOLE, ALL[2]])
    for given in ([a, hand], [hand, a]):
        result = agree(given, None)
        assert (result.passages, result.left_out, result.characters) == (2, 0, len("".join(TEXTS)))
        assert (result.pairs[0].f1, result.pairs[0].span_f1, result.disagreements) == (75.0, 100.0, 2)
    (row,) = disk.read_records(tmp_path / "a" / DISAGREEMENTS, Disagreement)
    assert (row.id, row.start, row.surface) == ("g0", WHOLE.passage.text.index("上海"), "上海")
    # The other run was cut elsewhere; the text of gold brings both together.
    head, rest = WHOLE.passage.text[:4], WHOLE.passage.text[4:]
    b = chunks(tmp_path / "b", (head, (NAMED[0],)), (rest, (NAMED[1],)))
    assert agree([a, b, hand], None).passages == 2
    assert agree([a, b], None).passages == 1  # nobody says that they are one text


def test_a_text_with_a_chunk_without_annotations_is_left_out(tmp_path: Path) -> None:
    a = chunks(tmp_path / "a", (TEXTS[0], (NAMED[0],)), (TEXTS[1], None))
    hand = gold(tmp_path / "hand.jsonl", [WHOLE, ALL[2]])
    result = agree([a, hand], None)
    assert (result.passages, result.left_out) == (1, 1)


def test_a_chunk_that_is_a_gold_text_too_counts_as_both(tmp_path: Path) -> None:
    a = chunks(tmp_path / "a", (TEXTS[0], (NAMED[0],)), (TEXTS[1], (NAMED[1],)))
    hand = gold(tmp_path / "hand.jsonl", [WHOLE, ALL[0], ALL[2]])
    result = agree([a, hand], None)
    assert (result.passages, result.left_out) == (3, 0)


def test_outer_white_space_is_not_compared(tmp_path: Path) -> None:
    a = chunks(tmp_path / "a", ("\n " + TEXTS[0], (NAMED[0],)))
    hand = gold(tmp_path / "hand.jsonl", [ALL[0], ALL[2]])
    result = agree([a, hand], None)
    assert (result.passages, result.left_out, result.pairs[0].f1) == (2, 0, 100.0)


# --- the sheet for review ----------------------------------------------------------------------------------------


def test_the_sheet_opens_in_a_spreadsheet(tmp_path: Path) -> None:
    text = '他说"好,\n=王明"在上海。'
    a = run(tmp_path / "a", [one(text, ("上海", "地点"), ("王明", "人名"))])
    b = run(tmp_path / "b", [one(text, ("上海", "城市"), ("王明", "人名"))])
    agree([a, b], None)
    raw = (tmp_path / "a" / "quality" / "disagreements.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfpassage,start,end,left,surface,right,a,b,decision\r\n")
    head, row = sheet(tmp_path / "a" / "quality")
    at = text.index("上海")
    assert len(head) == len(row)
    assert row == ["他说#0", str(at), str(at + 2), text[:at], "上海", "。", "地点", "城市", ""]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_is_a_formula(sign: str, tmp_path: Path) -> None:
    surface, kind = f"{sign}1+1", f"{sign}SUM"
    text = f"{sign}左{surface}{sign}右"
    entity = Entity(surface=surface, type=kind, starts=(2,))
    passage = Passage(id=f"{sign}id", text=text, source="s", lang="zh")
    plain = Annotation(passage=passage, entities=(), by=Annotator(source="model", model="x"))
    one_names = replace(plain, entities=(entity,))
    a = sampled(tmp_path / "a", (f"{sign}m", one_names), (f"{sign}n", plain))
    agree([a], None)
    head, row = sheet(tmp_path / "a" / "quality")
    assert head[6:8] == [f"'{sign}m", f"'{sign}n"]
    assert row == [f"'{sign}id", "2", "6", f"'{sign}左", f"'{surface}", f"'{sign}右", f"'{kind}", "", ""]
    (exact,) = disk.read_records(tmp_path / "a" / DISAGREEMENTS, Disagreement)
    assert (exact.surface, exact.votes) == (surface, {f"{sign}m": kind, f"{sign}n": ""})


def test_a_file_whose_name_begins_like_a_formula(tmp_path: Path) -> None:
    files = [file(tmp_path / f"{sign}x.jsonl", ALL[:n]) for n, sign in ((3, "="), (1, "-"))]
    agree(files, tmp_path / "out")
    assert sheet(tmp_path / "out")[0][6:8] == ["'=x.jsonl", "'-x.jsonl"]


def test_a_sheet_with_decisions_is_set_aside(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", ALL), run(tmp_path / "b", [one(TEXTS[0]), *ALL[1:]])
    written = tmp_path / "a" / "quality" / "disagreements.csv"
    for _ in range(2):
        agree([a, b], None)
        os.utime(written)
    assert not list(written.parent.glob("*edited*"))
    for number in (1, 2):
        decided = f"decided {number}".encode()
        written.write_bytes(decided)
        os.utime(written, ns=(0, 0))  # when it was written does not matter, what is in it does
        agree([a, b], None)
        assert written.with_name(f"disagreements.edited-{number}.csv").read_bytes() == decided
        assert len(sheet(written.parent)) == 2


# --- after the filter --------------------------------------------------------------------------------------------


def test_the_samples_of_a_run_are_measured_where_there_are_several(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    sampled(folder, (FIRST, ALL[0]), (f"{FIRST}#2", ALL[0]))
    result = agreement_of_samples(folder)
    assert result is not None
    assert (result.passages, result.alpha) == (1, 1)
    assert (folder / AGREEMENT).is_file()
    for answers in ([(FIRST, ALL[0])], [(FIRST, ALL[0]), (f"{FIRST}#2", ALL[1])]):
        file(folder / SAMPLES, samples(*answers))
        assert agreement_of_samples(folder) is None  # one annotator; no passage of both
    (folder / SAMPLES).unlink()
    assert agreement_of_samples(folder) is None


def test_figures_of_earlier_annotations_are_removed_and_those_of_these_stay(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    agree([run(folder, ALL), run(tmp_path / "b", ALL[:1])], None)
    assert agreement_of_samples(folder) is None
    assert (folder / AGREEMENT).is_file()
    later = (folder / AGREEMENT).stat().st_mtime_ns + 10**9
    os.utime(folder / ANNOTATIONS, ns=(later, later))
    assert agreement_of_samples(folder) is None
    assert (folder / AGREEMENT).is_file()  # written again with the same annotations
    file(folder / ANNOTATIONS, ALL[1:])
    os.utime(folder / ANNOTATIONS, ns=(0, 0))
    assert agreement_of_samples(folder) is None
    assert not list((folder / "quality").iterdir())


# --- told --------------------------------------------------------------------------------------------------------


def told(result: Agreement, width: int) -> str:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(width=width, record=True, file=nowhere)
        print_agreement(console, result, Path("runs/[x]/quality"))
    return console.export_text()


def test_what_is_told(tmp_path: Path) -> None:
    result = agree([run(tmp_path / "a", ALL), run(tmp_path / "[b]", [one(TEXTS[0]), ALL[1]])], None)
    text = told(result, 80)
    assert "│ a │ 66.67 (66.67) │" in text
    assert "[b]" in text
    assert "2 passages, 1 left out that not all annotated" in text
    assert f"Krippendorff's alpha on 13 characters: {result.alpha:.4f} (" in text
    assert (
        "decisions on a span and its type that not all share: 1; for review: runs/[x]/quality/disagreements.csv"
        in text
    )


def test_long_names_are_numbered_on_a_narrow_terminal(tmp_path: Path) -> None:
    name = "a-model-with-a-name@extract.zh.v1"
    answers = [(name, ALL[0]), *((f"{name}#{n}", ALL[0]) for n in (2, 3))]
    result = agree([sampled(tmp_path / "a", *answers)], None)
    wide, narrow = told(result, 200), told(result, 80)
    assert f"{name}#2 ┃" in wide
    assert f"│ 1 {name}" in narrow
    assert f"│ 3 {name}#3 │" in narrow
    assert max(map(len, narrow.splitlines()[1:6])) <= 80


def test_alpha_that_is_not_defined_and_rare_types(tmp_path: Path) -> None:
    none = agree([file(tmp_path / f"{n}.jsonl", [one(TEXTS[0])]) for n in "xy"], tmp_path / "out")
    assert "alpha on 6 characters: not defined" in told(none, 80)
    text = "".join(chr(0x4E00 + i) for i in range(25))
    many = one(text, *((char, f"类型{i:02}") for i, char in enumerate(text)))
    result = agree([file(tmp_path / f"{n}2.jsonl", [many]) for n in "xy"], tmp_path / "out")
    shown = told(result, 80)
    assert "类型19" in shown
    assert "类型20" not in shown
    assert "5 more" in shown


def test_out_defaults_to_the_first_run_folder(tmp_path: Path) -> None:
    a = run(tmp_path / "a", ALL)
    assert folder_of(["nowhere.jsonl", a]) == tmp_path / "a" / "quality"
    with pytest.raises(InputError, match="give --out FOLDER"):
        folder_of(["nowhere.jsonl"])


def test_the_language_of_a_prompt_does_not_make_another_annotator(tmp_path: Path) -> None:
    samples = [
        one(text, named, by=f"m@extract.{lang}.v1{number}")
        for text, named, lang in zip(TEXTS, NAMED, ("zh", "en", "zh"), strict=True)
        for number in ("", "#2")
    ]
    run(tmp_path, ALL)
    file(tmp_path / SAMPLES, samples)
    found = agreement_of_samples(tmp_path)
    assert found is not None
    assert found.annotators == ("m@extract.v1", "m@extract.v1#2")
    assert (found.passages, found.left_out, found.pairs[0].f1) == (3, 0, 100.0)
