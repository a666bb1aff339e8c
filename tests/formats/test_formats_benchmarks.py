"""Gold on disk, benchmark descriptions, and fetching from a real server on the loopback."""

from __future__ import annotations

import json
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner import disk, resources
from sinoner.errors import InputError
from sinoner.formats import benchmarks, parsers
from sinoner.records import GOLD, Annotation, Entity, Passage, Reject

ROW = {
    "id": "a",
    "text": "上海人在上海",
    "entities": [
        {"start": 4, "end": 6, "type": "LOC", "text": "上海"},
        {"start": 0, "end": 3, "type": "PER", "text": "上海人"},
        {"start": 0, "end": 2, "type": "LOC", "text": "上海"},
    ],
}
BIO = "王 B-PER\n明 I-PER\n在 O\n沪 B-LOC\n\n" + "".join(f"{c} O\n\n" for c in "一二三四五六七八九")


def gold(folder: Path, *rows: object, labels: dict | None = None, name: str = "test.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    if labels is not None:
        (folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    return path


def described(**more) -> benchmarks.BenchmarkSpec:
    whole = {
        "name": "mine",
        "lang": "zh",
        "format": "bio",
        "labels": {"LOC": "地名", "PER": "人名"},
        "licence": "none stated",
        "homepage": "https://example.org",
        "files": {"test": "x"},
        **more,
    }
    return benchmarks.BenchmarkSpec.model_validate(whole)


# --- reading gold --------------------------------------------------------------------------------------------


def test_a_folder_is_read_with_its_labels(tmp_path):
    path = gold(
        tmp_path / "mini",
        ROW,
        {**ROW, "id": "b", "entities": []},
        labels={"PER": "人名", "X": "甲", "LOC": "地名"},
    )
    found = benchmarks.load_gold(str(tmp_path / "mini"))
    assert (found.name, found.lang, found.types) == ("mini", "zh", ("人名", "甲", "地名"))
    assert found.digest == disk.sha256(path)
    first, second = found.annotations
    assert first.entities == (
        Entity(surface="上海", type="地名", starts=(0, 4)),
        Entity(surface="上海人", type="人名", starts=(0,)),
    )
    assert (first.passage.id, first.passage.source, first.by.label) == ("a", "mini", "gold")
    assert second.entities == ()


def test_without_labels_types_come_in_order_of_appearance(tmp_path):
    path = gold(tmp_path, ROW, name="weather.jsonl")
    found = benchmarks.load_gold(str(path))
    assert (found.name, found.types) == ("weather", ("LOC", "PER"))


def test_the_name_comes_from_source_json_and_dev_stands_in_for_test(tmp_path):
    folder = tmp_path / "x"
    path = gold(folder, ROW, name="dev.jsonl")
    assert benchmarks.load_gold(str(folder)).name == "x"
    (folder / "source.json").write_text('{"name": "boson"}')
    assert benchmarks.load_gold(str(folder)).name == "boson"
    assert benchmarks.load_gold(str(path)).name == "boson"
    gold(folder, {**ROW, "id": "t"})
    assert [a.passage.id for a in benchmarks.load_gold(str(folder)).annotations] == ["t"]


def test_language_of_the_row_wins_over_the_text(tmp_path):
    english = {
        "id": "e",
        "text": "in Rome",
        "entities": [{"start": 3, "end": 7, "type": "LOC", "text": "Rome"}],
    }
    found = benchmarks.load_gold(
        str(gold(tmp_path, english, {**english, "id": "f", "lang": "zh"}, {**english, "id": "g"}))
    )
    assert [a.passage.lang for a in found.annotations] == ["en", "zh", "en"]
    assert found.lang == "en"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, {**ROW, "text": "上海人在北京", "id": "b"}], "test.jsonl:2: .*上海"),
        ([ROW, ROW], "test.jsonl:2: .*'a' is already used at .*test.jsonl:1"),
        ([ROW, {"id": "b", "text": "甲"}], "test.jsonl:2: .*no annotation"),
        ([ROW, {"text": "甲", "entities": []}], "test.jsonl:2: .*no id"),
        ([ROW, [1]], "test.jsonl:2: is not a JSON object"),
        (
            [{**ROW, "entities": [{"start": 0, "end": 1, "type": "甲"}]}],
            "test.jsonl:1: the type '甲' is not in .*labels",
        ),
        ([], "contains no gold"),
    ],
)
def test_what_is_not_gold_is_told_with_its_line(tmp_path, rows, message):
    gold(tmp_path, *rows, labels={"PER": "人名", "LOC": "地名"})
    with pytest.raises(InputError, match=message):
        benchmarks.load_gold(str(tmp_path))


def test_gold_without_any_type_asks_nothing(tmp_path):
    path = gold(tmp_path, {**ROW, "entities": []})
    with pytest.raises(InputError, match="no types to query"):
        benchmarks.load_gold(str(path))


@pytest.mark.parametrize("labels", ["[]", "{}", '{"PER": 1}', "{"])
def test_bad_labels_are_refused(tmp_path, labels):
    gold(tmp_path, ROW)
    (tmp_path / "labels.json").write_text(labels)
    with pytest.raises(InputError, match=r"labels\.json"):
        benchmarks.load_gold(str(tmp_path))


def test_a_folder_without_gold(tmp_path):
    gold(tmp_path, ROW, name="train.jsonl")
    with pytest.raises(InputError, match=r"neither test\.jsonl nor dev\.jsonl"):
        benchmarks.load_gold(str(tmp_path))


def test_a_name_must_have_been_fetched(tmp_path):
    with pytest.raises(InputError, match="sinoner benchmarks fetch weibo"):
        benchmarks.load_gold("weibo", cache=tmp_path)
    gold(tmp_path / "benchmarks/weibo", ROW)
    assert benchmarks.load_gold("weibo", cache=tmp_path).name == "weibo"


def test_an_unknown_name_gets_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'weibo'"):
        benchmarks.load_gold("wiebo", cache=tmp_path)
    with pytest.raises(InputError, match="did you mean 'crossner_ai'"):
        benchmarks.spec("crossner-ai")


# --- writing gold --------------------------------------------------------------------------------------------


@st.composite
def annotations(draw) -> list[Annotation]:
    made = []
    for number in range(draw(st.integers(1, 3))):
        text = draw(st.text("甲乙𠮷a \n", min_size=2, max_size=9).filter(str.strip))
        spans = draw(
            st.lists(
                st.tuples(
                    st.integers(0, len(text) - 1),
                    st.integers(1, len(text)),
                    st.sampled_from(["人名", "song"]),
                )
            )
        )
        starts: dict[tuple[str, str], set[int]] = {}
        for a, b, kind in spans:
            if a < b:
                starts.setdefault((text[a:b], kind), set()).add(a)
        entities = tuple(Entity(surface=s, type=t, starts=tuple(sorted(at))) for (s, t), at in starts.items())
        passage = Passage(id=f"g-{number}", text=text, source="g", lang=draw(st.sampled_from(["zh", "en"])))
        made.append(Annotation(passage=passage, entities=entities, by=GOLD))
    return made


@given(annotations())
def test_gold_comes_back_as_it_was_written(made):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.jsonl"
        assert benchmarks.write_gold(path, made, ["song", "人名"]) == len(made)
        found = benchmarks.load_gold(str(path))
    assert found.annotations == tuple(made)
    assert found.types == ("song", "人名")


def test_a_type_outside_the_query_order_is_refused(tmp_path):
    found = benchmarks.load_gold(str(gold(tmp_path, ROW))).annotations
    with pytest.raises(InputError, match="PER"):
        benchmarks.write_gold(tmp_path / "out.jsonl", found, ["LOC"])
    assert not (tmp_path / "out.jsonl").exists()


# --- converting ----------------------------------------------------------------------------------------------


def test_convert_names_types_and_rejects_what_has_no_name(tmp_path):
    path = tmp_path / "n.txt"
    path.write_text(BIO + "甲 B-ODD\n乙 B-MISC\n丙 B-LOC\n\n丁 ??\n", encoding="utf-8")
    made = list(benchmarks.convert(path, "bio", labels={"PER": "人名", "LOC": "地名"}, leave_out=["MISC"]))
    first, last = made[0], made[-2]
    assert isinstance(first, Annotation)
    assert [(e.surface, e.type, e.starts) for e in first.entities] == [
        ("王明", "人名", (0,)),
        ("沪", "地名", (3,)),
    ]
    assert (first.passage.id, first.passage.source, first.passage.lang) == ("n-000000", "n", "zh")
    assert isinstance(last, Annotation)
    assert [(e.surface, e.type) for e in last.entities] == [("丙", "地名")]
    rejects = [(r.id, r.reason, r.unit) for r in made if isinstance(r, Reject)]
    assert rejects == [("n-000010", "unknown_type", "entity"), ("n-000011", "bad_tag", "passage")]


def test_convert_rejects_a_repeated_id(tmp_path):
    made = list(benchmarks.convert(gold(tmp_path, ROW, ROW), "span-jsonl", name="n"))
    assert [type(m).__name__ for m in made] == ["Annotation", "Reject"]
    assert made[1].reason == "duplicate_id"


# --- descriptions --------------------------------------------------------------------------------------------


def test_every_packaged_description_is_whole():
    known = benchmarks.names()
    expected = {
        "boson",
        "cluener",
        "cmeee",
        "msra",
        "weibo",
        "mit_movie",
        "wnut17",
        "crossner_ai",
        "crossner_science",
    }
    assert expected <= set(known)
    for name in known:
        spec = benchmarks.spec(name)
        assert spec.name == name
        assert spec.format in parsers.FORMATS
        assert spec.licence
        for url in spec.files.values():
            assert url.startswith("https://raw.githubusercontent.com/")
            commit = url.split("/")[5]
            assert len(commit) == 40, f"{url} is not pinned to a commit"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "xml"},
        {"split": "dev"},
        {"labels": {}},
        {"leave_out": ["PER"]},
        {"name": "../x"},
        {"colour": "red"},
        {"sample": 0},
    ],
)
def test_a_description_with_a_mistake_is_refused(change):
    assert described().split == "test"
    with pytest.raises(ValueError, match="BenchmarkSpec"):
        described(**change)


def test_mistakes_of_a_description_file_are_told(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nlang: fr\nfiles: {test: x\n")
    with pytest.raises(InputError, match=r"mine\.yaml:\d+: is not YAML"):
        benchmarks.read_spec(path)
    path.write_text("name: mine\nlang: fr\n")
    with pytest.raises(
        InputError,
        match=r"(?s)mine\.yaml:2: lang: must be 'zh' or 'en', got 'fr'\n.*mine\.yaml: format: is missing",
    ):
        benchmarks.read_spec(path)
    path.write_text(json.dumps(described().model_dump()))
    assert benchmarks.read_spec(path) == described()


# --- fetching ------------------------------------------------------------------------------------------------


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write("王 B-PER\n".encode())
        elif self.path == "/busy":
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder and the address of the server that serves it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_fetch_converts_and_can_be_evaluated(tmp_path, site):
    folder, base = site
    (folder / "t").write_text(BIO + "丁 ??\n", encoding="utf-8")
    (folder / "d").write_text("沪 B-LOC\n", encoding="utf-8")
    spec = described(files={"test": f"{base}/t", "dev": f"{base}/d"}, leave_out=["X"])
    cache = tmp_path / "cache"
    made = benchmarks.fetch("mine", cache / "benchmarks", spec)
    assert made == cache / "benchmarks/mine"
    assert sorted(p.name for p in made.iterdir()) == ["dev.jsonl", "labels.json", "source.json", "test.jsonl"]
    assert [p.name for p in made.parent.iterdir()] == ["mine"]
    found = benchmarks.load_gold(str(made))
    assert (found.name, found.types, found.lang) == ("mine", ("地名", "人名"), "zh")
    assert found.annotations[0].passage.id == "mine-test-000000"
    assert [(e.surface, e.type) for e in found.annotations[0].entities] == [("王明", "人名"), ("沪", "地名")]
    source = json.loads((made / "source.json").read_text(encoding="utf-8"))
    assert (source["licence"], source["labels"]) == ("none stated", {"LOC": "地名", "PER": "人名"})
    assert source["files"]["test"] == {
        "url": f"{base}/t",
        "sha256": disk.sha256(folder / "t"),
        "passages": 10,
        "sampled_from": 10,
        "mentions": 2,
        "rejected": {"bad_tag": 1},
    }


def test_fetch_samples_the_evaluated_split_only_and_always_the_same(tmp_path, site):
    folder, base = site
    (folder / "t").write_text(BIO, encoding="utf-8")
    spec = described(files={"test": f"{base}/t", "train": f"{base}/t"}, sample=4)
    first, second = (benchmarks.fetch("mine", tmp_path / name, spec) for name in "xy")
    ids = [a.passage.id for a in benchmarks.load_gold(str(first)).annotations]
    assert len(ids) == 4
    assert ids == sorted(ids)
    assert (first / "test.jsonl").read_bytes() == (second / "test.jsonl").read_bytes()
    assert len((first / "train.jsonl").read_text(encoding="utf-8").splitlines()) == 10


def test_fetch_replaces_an_older_one_and_keeps_it_when_it_fails(tmp_path, site):
    folder, base = site
    (folder / "t").write_text("沪 B-LOC\n", encoding="utf-8")
    spec = described(files={"test": f"{base}/t"})
    benchmarks.fetch("mine", tmp_path / "b", spec)
    (folder / "t").write_text("京 B-LOC\n", encoding="utf-8")
    made = benchmarks.fetch("mine", tmp_path / "b", spec)
    assert benchmarks.load_gold(str(made)).annotations[0].passage.text == "京"
    (folder / "t").unlink()
    with pytest.raises(InputError, match="404"):
        benchmarks.fetch("mine", tmp_path / "b", spec)
    assert benchmarks.load_gold(str(made)).annotations[0].passage.text == "京"
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/gone", "404.*moved"),
        ("/busy", "503.*later"),
        ("/short", "ended after 10 of 1000"),
        ("/bad", "bio"),
    ],
)
def test_fetch_tells_what_went_wrong_and_leaves_nothing(tmp_path, site, path, message):
    folder, base = site
    (folder / "bad").write_text("{}\n")
    with pytest.raises(InputError, match=message) as caught:
        benchmarks.fetch("mine", tmp_path / "b", described(files={"test": base + path}))
    assert base + path in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "b").glob("*")) == []


def test_fetch_unreachable(tmp_path, site):
    _, base = site
    port = int(base.rpartition(":")[2])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    closed = server.server_port
    server.server_close()
    assert closed != port
    with pytest.raises(InputError, match="cannot be reached"):
        benchmarks.fetch("mine", tmp_path, described(files={"test": f"http://127.0.0.1:{closed}/t"}))


def test_fetch_only_from_the_web_or_a_local_file(tmp_path):
    local = tmp_path / "t.txt"
    local.write_text("沪 B-LOC\n", encoding="utf-8")
    made = benchmarks.fetch("mine", tmp_path / "b", described(files={"test": str(local)}))
    assert benchmarks.load_gold(str(made)).annotations[0].entities[0].surface == "沪"
    for address, message in ((local.as_uri(), "only http"), (str(tmp_path / "none"), "no such file")):
        with pytest.raises(InputError, match=message):
            benchmarks.fetch("mine", tmp_path / "c", described(files={"test": address}))


def test_fetch_an_unknown_name(tmp_path):
    with pytest.raises(InputError, match="did you mean 'cluener'"):
        benchmarks.fetch("clunner", tmp_path)


def test_descriptions_lie_where_the_wheel_takes_them():
    assert (resources.data_root() / "data_recipes/benchmarks/weibo.yaml").is_file()
