"""Every attempt is kept, at most one answer per request counts, and nothing that may have been paid is forgotten."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from asking import attempts, passage
from chat_server import answer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sinoner.annotate.asking import Asking
from sinoner.annotate.interview import interview, probe
from sinoner.annotate.judge import examine, judge_of
from sinoner.errors import InputError, StoppedError
from sinoner.llm.attempt import Attempt, Spent, answered
from sinoner.llm.batch_records import BatchBook
from sinoner.llm.embeddings import embedding_request
from sinoner.llm.ledger import Done, Ledger
from sinoner.llm.request import Heard, Request, make_request, read_reply
from sinoner.records import Annotation, Entity
from sinoner.settings import AnnotateSettings, LlmSettings

URL = "http://127.0.0.1:8000/v1"


def request(
    text: str = "王明", passage: str = "d0#0", model: str = "m", tokens: int = 50, **more: Any
) -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
    return make_request(body, "e", passage, **more)


def good(content: str = "[]", usage: tuple[int, int] = (11, 7), **more) -> Attempt:
    return answered(read_reply(answer(content, usage=usage).body), URL, **more)


def bad(kind: str = "transient", detail: str = "", **more) -> Attempt:
    return Attempt(URL, error=kind, detail=detail, **more)  # type: ignore[arg-type]


def raw(content: str = "[]", usage: tuple[int, int] = (11, 7)) -> str:
    return answer(content, usage=usage).body


def start(ledger: Ledger, asked: Request, endpoint: str = URL) -> int:
    return ledger.start([(asked, endpoint)])[0]


def put(ledger: Ledger, asked: Request, *attempts: Attempt, final: bool = False) -> None:
    """Start a request and add what came of it, as often as given; ``final`` is for the last."""
    for n, attempt in enumerate(attempts, 1):
        ledger.add([(start(ledger, asked), attempt, final and n == len(attempts))])


def rows(ledger: Ledger, query: str) -> list[tuple]:
    return ledger.connection.execute(query).fetchall()


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "run" / "ledger.sqlite") as opened:
        yield opened


# --- finding -----------------------------------------------------------------------------------------------------


def test_an_answer_is_found_again_also_after_closing(tmp_path):
    path = tmp_path / "run" / "ledger.sqlite"  # the folder is made
    with Ledger(path) as ledger:
        assert ledger.find(request().key) is None
        put(ledger, request(), good("答案\x00"))
        assert ledger.find(request().key) == Heard(raw("答案\x00"))
        assert ledger.find(request("李红").key) is None
    with Ledger(path) as ledger:
        assert ledger.find(request().key) == Heard(raw("答案\x00"))


def test_a_request_on_its_way_is_not_known_and_neither_is_one_that_will_be_tried_again(ledger):
    number = start(ledger, request())
    assert ledger.find(request().key) is None
    ledger.add([(number, bad("rate_limit"), False)])
    assert ledger.find(request().key) is None
    assert attempts(ledger) == 1


def test_a_final_failure_is_known_with_its_words(ledger):
    put(ledger, request(), bad(), bad("timeout", "no answer within 9 s"), final=True)
    assert ledger.find(request().key) == Heard("", "timeout", "no answer within 9 s")


def test_a_committed_answer_is_seen_by_others_at_once(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger, Ledger(tmp_path / "ledger.sqlite") as other:
        put(ledger, request(), good())
        assert other.find(request().key) == Heard(raw())


def test_what_is_kept_can_be_read_with_any_tool(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        put(ledger, request(), bad("rate_limit", "slow down", status=429, raw="{}"), good(seconds=1.5))
    connection = sqlite3.connect(path)
    query = (
        "SELECT key, passage, model, body, a.endpoint, a.seconds, a.status, a.error, a.finish, a.raw, a.measured,"
        " a.id = r.answer FROM requests r JOIN attempts a ON a.request = r.id ORDER BY a.id"
    )
    found = connection.execute(query).fetchall()
    connection.close()
    asked = request()
    head = (asked.key, "d0#0", "m", asked.payload, URL)
    assert found == [
        (*head, 0.0, 429, "rate_limit", None, "{}", 1, 0),
        (*head, 1.5, 200, None, "stop", raw(), 1, 1),
    ]


# --- playing -----------------------------------------------------------------------------------------------------


def two_questions(*, ask: int = 2):
    heard = []
    for n in range(ask):
        heard.append((yield request(str(n))))
    return heard


def test_a_task_goes_on_as_far_as_the_ledger_knows(ledger):
    assert ledger.play(two_questions()) == request("0")
    put(ledger, request("0"), good("a"))
    task = two_questions()
    assert ledger.play(task) == request("1")
    put(ledger, request("1"), bad("content_filter", "no"), final=True)
    whole = Done([Heard(raw("a")), Heard("", "content_filter", "no")])
    assert ledger.play(task, ledger.find(request("1").key)) == whole
    assert ledger.play(two_questions()) == whole


def test_a_task_that_is_sent_an_answer_goes_on_from_there(ledger):
    task = two_questions(ask=3)
    assert ledger.play(task) == request("0")
    put(ledger, request("1"), good("b"))
    assert ledger.play(task, Heard("said")) == request("2")
    assert ledger.play(task, Heard("last")) == Done([Heard("said"), Heard(raw("b")), Heard("last")])


def test_a_task_without_questions_is_done_at_once(ledger):
    assert ledger.play(two_questions(ask=0)) == Done([])


def test_a_bug_in_a_task_is_not_swallowed(ledger):
    def broken():
        yield request()
        raise LookupError("a bug")

    put(ledger, request(), good())
    with pytest.raises(LookupError):
        ledger.play(broken())


# --- one accepted answer -----------------------------------------------------------------------------------------

EVENTS = {
    "a": (good("a"), False),
    "b": (good("b"), False),
    "passing": (bad("transient"), False),
    "final": (bad("bad_request", "no"), True),
}


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)))
def test_the_first_usable_answer_counts_whatever_comes_before_and_after(ledger, order):
    number = start(ledger, request())
    for name in order:
        ledger.add([(number, *EVENTS[name])])
    first = next(name for name in order if name in "ab")
    assert ledger.find(request().key) == Heard(raw(first))
    assert ledger.usage()[0] == 1
    assert attempts(ledger) == 4
    assert rows(ledger, "SELECT failed, detail FROM requests") == [(None, "")]


def test_the_same_answer_added_twice_counts_once_and_is_paid_twice(ledger):
    put(ledger, request(), good(), good())
    assert ledger.usage() == (1, 22, 14)
    assert attempts(ledger) == 2


def test_many_requests_are_started_and_added_together_or_not_at_all(ledger):
    asked = [request(str(n)) for n in range(3)]
    numbers = ledger.start((one, f"http://{n}/v1") for n, one in enumerate(asked))
    assert len(set(numbers)) == 3
    assert rows(ledger, "SELECT endpoint FROM in_flight ORDER BY request") == [
        ("http://0/v1",),
        ("http://1/v1",),
        ("http://2/v1",),
    ]
    ledger.add([(numbers[0], good("a"), False), (numbers[1], bad("timeout"), True)])
    assert [ledger.find(one.key) for one in asked] == [Heard(raw("a")), Heard("", "timeout"), None]
    assert rows(ledger, "SELECT request FROM in_flight") == [(numbers[2],)]
    full(ledger)
    with pytest.raises(StoppedError, match=FULL):
        ledger.add([(numbers[2], good("c"), False), (numbers[2], good("x" * 100_000), False)])
    assert attempts(ledger) == 2
    assert rows(ledger, "SELECT request FROM in_flight") == [(numbers[2],)]
    ledger.start([])
    ledger.add([])


def test_a_request_has_one_row_however_often_it_is_started(ledger):
    numbers = {start(ledger, request(passage=f"d{n}#0")) for n in range(3)}
    assert len(numbers) == 1
    assert rows(ledger, "SELECT passage FROM requests") == [("d0#0",)]
    assert len(rows(ledger, "SELECT * FROM in_flight")) == 1


def test_what_is_opened_again_is_asked_again_and_keeps_its_attempts(ledger):
    put(ledger, request("a"), good("old"))
    put(ledger, request("b"), bad("timeout"), final=True)
    put(ledger, request("c"), good("c"))
    before = rows(ledger, "SELECT * FROM attempts")
    ledger.reopen([request("a").key, request("b").key, "unknown"])
    assert ledger.find(request("a").key) is ledger.find(request("b").key) is None
    assert ledger.find(request("c").key) == Heard(raw("c"))
    assert rows(ledger, "SELECT * FROM attempts") == before
    put(ledger, request("a"), good("new"))
    put(ledger, request("b"), good("b"))
    assert ledger.find(request("a").key) == Heard(raw("new"))
    assert ledger.find(request("b").key) == Heard(raw("b"))
    assert rows(ledger, "SELECT * FROM attempts")[: len(before)] == before
    assert ledger.usage() == (3, 44, 28)


# --- what is in flight -------------------------------------------------------------------------------------------


def test_what_is_in_flight_stands_there_with_the_most_it_can_cost_until_its_attempt_is_added(ledger):
    number = start(ledger, request())
    assert rows(ledger, "SELECT request, endpoint, prompt_tokens, completion_tokens FROM in_flight") == [
        (number, URL, *request().bound)
    ]
    ledger.add([(number, good(), False)])
    assert rows(ledger, "SELECT * FROM in_flight") == []
    assert ledger.recover() == 0


def test_what_was_in_flight_counts_as_possibly_paid_once(ledger):
    put(ledger, request("a"), good())
    start(ledger, request("b"))
    start(ledger, request("c", model="n"), "http://other/v1")
    assert ledger.recover() == 2
    assert ledger.recover() == 0
    assert attempts(ledger) == 3
    assert ledger.find(request("b").key) is None  # it is asked again
    assert ledger.spent() == [
        Spent("m", URL, False, False, 1, *request("b").bound, 0),
        Spent("m", URL, False, True, 1, 11, 7, 0),
        Spent("n", "http://other/v1", False, False, 1, *request("c", model="n").bound, 0),
    ]
    put(ledger, request("b"), good("late"))
    assert ledger.find(request("b").key) == Heard(raw("late"))


def test_what_is_on_its_way_in_a_batch_is_not_lost(ledger):
    book = BatchBook(ledger)
    book.put(book.begin(URL, "mark"), URL, [request("in a batch")])
    start(ledger, request("online"))
    assert ledger.recover() == 1
    assert rows(ledger, "SELECT key FROM in_flight JOIN requests ON id = request") == [
        (request("in a batch").key,)
    ]


KILLED = """
import os, sys
from pathlib import Path
from typing import Any
from sinoner.llm.attempt import Attempt
from sinoner.llm.ledger import Ledger
from sinoner.llm.request import make_request

ledger = Ledger(Path(sys.argv[1]))
for n in range(20):
    asked = make_request({"model": "m", "n": n, "max_tokens": 5}, "e", "d#0")
    (number,) = ledger.start([(asked, "u")])
    if n < 15:
        ledger.add([(number, Attempt("u", raw="{}", finish="stop", tokens=(3, 2, 0)), False)])
os.kill(os.getpid(), 9)
"""


def test_a_killed_process_leaves_every_answer_and_every_doubt(tmp_path):
    path = tmp_path / "ledger.sqlite"
    process = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, check=False)
    assert (process.returncode, process.stderr) == (-9, b"")
    with Ledger(path) as ledger:
        assert ledger.usage() == (15, 45, 30)
        assert ledger.recover() == 5
        assert [(s.measured, s.attempts) for s in ledger.spent()] == [(False, 5), (True, 15)]


# --- sums --------------------------------------------------------------------------------------------------------


def test_what_was_spent_is_told_by_model_endpoint_way_and_certainty(ledger):
    put(ledger, request("a"), good(usage=(10, 1)), good(usage=(5, 2)))
    put(ledger, request("b"), bad("timeout", tokens=(100, 50, 0), measured=False), bad("rate_limit"))
    put(ledger, request("c", model="n"), good(usage=(7, 3), batch="b1"))
    put(ledger, request("d"), Attempt("http://b/v1", tokens=(20, 2, 15), raw="{}", finish="stop"))
    assert ledger.spent() == [
        Spent("m", "http://127.0.0.1:8000/v1", False, False, 1, 100, 50, 0),
        Spent("m", "http://127.0.0.1:8000/v1", False, True, 2, 15, 3, 0),
        Spent("m", "http://b/v1", False, True, 1, 20, 2, 15),
        Spent("n", "http://127.0.0.1:8000/v1", True, True, 1, 7, 3, 0),
    ]
    assert ledger.spent("b1") == [Spent("n", "http://127.0.0.1:8000/v1", True, True, 1, 7, 3, 0)]
    assert ledger.spent("b2") == []


def test_a_new_ledger_has_nothing(ledger):
    assert ledger.usage() == (0, 0, 0)
    assert ledger.spent() == []
    assert ledger.typical("annotate") is None
    assert ledger.recover() == 0
    assert ledger.runs("annotate") == []


def test_usage_counts_the_tokens_of_all_attempts(ledger):
    put(ledger, request("a"), bad("timeout", tokens=(100, 50, 0), measured=False), good(usage=(10, 1)))
    put(ledger, request("b"), good(usage=(5, 2)))
    assert ledger.usage() == (2, 115, 53)


def test_what_is_typical_is_told_by_the_online_answers_about_passages(ledger):
    put(ledger, request("probe", kind="probe"), good(usage=(1, 1000), seconds=100))
    put(ledger, request("judge", kind="verify"), good(usage=(1, 1000), seconds=100))
    put(ledger, request("batched", model="n"), good(usage=(1, 1000), seconds=0, batch="b"))
    put(ledger, request("failed"), bad("timeout", seconds=100, tokens=(0, 1000, 0)), final=True)
    assert ledger.typical("annotate") is None
    put(ledger, request("a"), bad("timeout", seconds=100), good(usage=(1, 10), seconds=1))
    put(ledger, request("b"), good(usage=(1, 20), seconds=2))
    assert ledger.typical("annotate") == (15.0, 1.5)


def test_the_settings_of_the_runs_are_kept_in_order(tmp_path):
    fields = [{"types": {"人名": ""}, "n": None}, {"b": 1.5}]
    for run in fields:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            ledger.add_run("annotate", run)
            ledger.add_run("verify", {"of": "the judge"})
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.runs("annotate") == fields
        assert ledger.runs("verify") == [{"of": "the judge"}] * 2


def test_the_answer_format_of_a_model_is_kept(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.format("e", "m") is None
        ledger.keep_format("e", "m", "json_schema")
        ledger.keep_format("e", "n", "text")
        ledger.keep_format("e", "m", "json_object")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert [ledger.format("e", "m"), ledger.format("e", "n")] == ["json_object", "text"]
        assert ledger.format("f", "m") is None


# --- ledgers of version 2, which had no kinds ---------------------------------------------------------------------

VERSION_2 = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, at REAL NOT NULL, fields TEXT NOT NULL) STRICT;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    passage TEXT NOT NULL,
    model TEXT NOT NULL,
    body TEXT NOT NULL,
    answer INTEGER REFERENCES attempts(id),
    failed TEXT,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    request INTEGER NOT NULL REFERENCES requests(id),
    at REAL NOT NULL,
    endpoint TEXT NOT NULL,
    batch TEXT,
    seconds REAL NOT NULL,
    status INTEGER,
    error TEXT,
    finish TEXT,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    measured INTEGER NOT NULL DEFAULT 1,
    raw TEXT
) STRICT;
CREATE TABLE in_flight (
    request INTEGER PRIMARY KEY REFERENCES requests(id),
    at REAL NOT NULL,
    endpoint TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL
) STRICT;
CREATE TABLE formats (
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    format TEXT NOT NULL,
    PRIMARY KEY (endpoint, model)
) STRICT;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    endpoint TEXT NOT NULL,
    mark TEXT NOT NULL UNIQUE,
    file TEXT,
    remote TEXT,
    state TEXT NOT NULL,
    requests INTEGER NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE batched (
    request INTEGER PRIMARY KEY REFERENCES requests(id),
    batch INTEGER NOT NULL REFERENCES batches(id)
) STRICT;
CREATE INDEX batched_by_batch ON batched(batch);
CREATE INDEX attempts_of_batches ON attempts(request) WHERE batch IS NOT NULL;
PRAGMA user_version=2;
"""


def written_by_version_2(path: Path) -> dict[str, str]:
    """A ledger with the tables of version 2; returns the kinds that its requests should have, by key."""
    llm = LlmSettings(model="m")
    asking = Asking(AnnotateSettings(), llm, "e", outputs={"m": "json_schema"})
    entity = Entity(surface="王明", type="人名", starts=(0,))
    of_passage = passage("王明在上海工作。")
    judged = Annotation(passage=of_passage, entities=(entity,), by="m")
    made = {
        "annotate": next(interview(of_passage, asking, "m")),
        "verify": next(examine(judged, judge_of(AnnotateSettings(), llm, "m", "e"))),
        "embed": embedding_request("m", ["verdict"], "e"),
        "probe": next(probe(asking, "m", URL)),
    }
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_2)
    connection.execute('INSERT INTO runs (at, fields) VALUES (1, \'{"llm.model": "m"}\')')
    for number, asked in enumerate(made.values(), 1):
        row = (number, asked.key, asked.passage, asked.model, asked.payload, number)
        connection.execute(
            "INSERT INTO requests (id, key, passage, model, body, answer) VALUES (?,?,?,?,?,?)", row
        )
        connection.execute(
            "INSERT INTO attempts (id, request, at, endpoint, seconds, completion_tokens, raw) VALUES (?,?,1,'e',?,?,?)",
            (number, number, number, 10 * number, f"answer {number}"),
        )
    connection.commit()
    connection.close()
    return {asked.key: kind for kind, asked in made.items()}


def test_a_ledger_without_kinds_gets_them_once_and_keeps_everything(tmp_path):
    path = tmp_path / "ledger.sqlite"
    kinds = written_by_version_2(path)
    for _ in range(2):
        with Ledger(path) as ledger:
            assert dict(rows(ledger, "SELECT key, kind FROM requests")) == kinds
            assert [ledger.find(key) for key in kinds] == [Heard(f"answer {n}") for n in (1, 2, 3, 4)]
            assert ledger.typical("annotate") == (10.0, 1.0)
            assert [ledger.usage(kind)[::2] for kind in ("annotate", "verify", "embed", "probe", None)] == [
                (1, 10), (1, 20), (1, 30), (1, 40), (4, 100),
            ]  # fmt: skip
            assert [key for key, _ in ledger.answered("embed", "m")] == [
                k for k, v in kinds.items() if v == "embed"
            ]
            assert ledger.runs("annotate") == [{"llm.model": "m"}]
            assert ledger.runs("verify") == []
            assert rows(ledger, "PRAGMA user_version") == [(3,)]


def test_a_ledger_whose_kinds_cannot_be_found_out_stays_as_it_was(tmp_path):
    path = tmp_path / "ledger.sqlite"
    written_by_version_2(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE requests SET body = 'no JSON' WHERE passage = ''")
    connection.commit()
    with pytest.raises(InputError, match="malformed JSON; it seems damaged"):
        Ledger(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert "kind" not in [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
    connection.close()


# --- other files, full disks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE answers (key TEXT)", "PRAGMA user_version=1", "PRAGMA user_version=4"]
)
def test_a_ledger_of_another_version_is_refused_and_left_as_it_is(statement, tmp_path):
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (text TEXT)")
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match="was written by another version of sinoner; move it away") as caught:
        Ledger(path)
    assert len(str(caught.value).splitlines()) == 1
    connection = sqlite3.connect(path)
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert tables <= {"mine", "answers"}


def test_a_file_that_is_no_ledger_is_refused_with_one_line(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"<html>" * 1000)
    with pytest.raises(InputError, match=r"ledger\.sqlite: .*not a database; .*move it away") as caught:
        Ledger(path)
    assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == b"<html>" * 1000


def test_a_ledger_that_another_process_writes_to_is_said_so(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger, Ledger(tmp_path / "ledger.sqlite") as other:
        put(ledger, request("a"), good())
        other.connection.execute("PRAGMA busy_timeout=50")
        with (
            ledger.transaction(),
            pytest.raises(StoppedError, match="another process is writing to it; run the same command again"),
        ):
            start(other, request("b"))
        put(other, request("b"), good())
        assert ledger.usage()[0] == 2


def test_a_damaged_ledger_is_said_so_with_one_line(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        for n in range(200):
            put(ledger, request(str(n)), good("x" * 500))
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)  # the first page is whole, the others are gone
    path.write_bytes(data)
    with (
        pytest.raises(
            InputError, match="ledger.sqlite: .*malformed; it seems damaged: move it away"
        ) as caught,
        Ledger(path) as ledger,
    ):
        start(ledger, request("new"))
    assert len(str(caught.value).splitlines()) == 1


def full(ledger: Ledger) -> None:
    """Let the disk be full from here on."""
    pages = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
    ledger.connection.execute(f"PRAGMA max_page_count = {pages}")


FULL = r"ledger\.sqlite: .*full; free some space and run the same command again"


def test_a_full_disk_stops_the_run_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        put(ledger, request("a"), good())
        number = start(ledger, request("b"))
        full(ledger)
        with pytest.raises(StoppedError, match=FULL):
            ledger.add([(number, good("x" * 100_000), False)])
        assert ledger.find(request("a").key) == Heard(raw())
        assert ledger.find(request("b").key) is None
        assert attempts(ledger) == 1
        ledger.connection.execute("PRAGMA max_page_count = 1000000")  # there is room again
        put(ledger, request("c"), good())
    with Ledger(path) as ledger:
        assert ledger.recover() == 1  # the answer that could not be kept may have been paid
        assert ledger.usage()[0] == 2


def test_nothing_is_noted_as_sent_on_a_full_disk(ledger):
    full(ledger)
    with pytest.raises(StoppedError, match=FULL):
        start(ledger, request("x" * 100_000))
    assert rows(ledger, "SELECT * FROM requests") == rows(ledger, "SELECT * FROM in_flight") == []


@pytest.mark.parametrize(
    "write",
    [
        lambda ledger: ledger.add_run("annotate", {"text": "x" * 100_000}),
        lambda ledger: BatchBook(ledger).put(1, URL, [request("x" * 100_000)]),
    ],
    ids=["run", "batch"],
)
def test_other_writes_say_the_same_on_a_full_disk(write, ledger):
    BatchBook(ledger).begin(URL, "mark")
    full(ledger)
    with pytest.raises(StoppedError, match=FULL):
        write(ledger)
    assert not ledger.connection.in_transaction


def test_a_transaction_that_breaks_leaves_nothing(ledger):
    with pytest.raises(KeyboardInterrupt), ledger.transaction():
        ledger.number(request())
        raise KeyboardInterrupt
    assert rows(ledger, "SELECT * FROM requests") == []
    put(ledger, request(), good())


# --- in any order ------------------------------------------------------------------------------------------------

names = st.sampled_from("abc")


class Writing(RuleBasedStateMachine):
    """Starts, answers, failures, new openings and kills in any order, next to a model of what must come out."""

    @initialize()
    def open(self):
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = Ledger(self.folder / "ledger.sqlite")
        self.flying: dict[str, int] = {}
        self.known: dict[str, Heard] = {}
        self.kept: list[tuple] = []
        self.answers = 0

    @rule(name=names)
    def start(self, name):
        self.flying[name] = start(self.ledger, request(name))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), event=st.sampled_from(["answer", "passing", "final"]))
    def add(self, data, event):
        name = data.draw(st.sampled_from(sorted(self.flying)))
        number = self.flying.pop(name)
        self.answers += 1
        content = f"answer {self.answers}"
        attempt = good(content) if event == "answer" else bad("timeout", tokens=(9, 9, 0), measured=False)
        self.ledger.add([(number, attempt, event == "final")])
        was_answered = name in self.known and self.known[name].failed is None
        if event == "answer" and not was_answered:
            self.known[name] = Heard(raw(content))
        elif event == "final" and not was_answered:
            self.known[name] = Heard("", "timeout", "")
        assert number not in {row[0] for row in rows(self.ledger, "SELECT request FROM in_flight")}

    @rule(some=st.sets(names))
    def reopen(self, some):
        self.ledger.reopen([request(name).key for name in sorted(some)])
        for name in some:
            self.known.pop(name, None)

    @rule()
    def kill(self):
        self.ledger.connection.close()
        self.ledger = Ledger(self.folder / "ledger.sqlite")
        assert self.ledger.recover() == len(self.flying)
        assert self.ledger.recover() == 0
        self.flying.clear()

    @invariant()
    def books_are_right(self):
        if not hasattr(self, "ledger"):
            return
        for name in "abc":
            assert self.ledger.find(request(name).key) == self.known.get(name)
        now = rows(self.ledger, "SELECT * FROM attempts ORDER BY id")
        assert now[: len(self.kept)] == self.kept  # attempts are only ever added
        self.kept = now
        assert attempts(self.ledger) == len(now)
        in_flight = {row[0] for row in rows(self.ledger, "SELECT request FROM in_flight")}
        assert in_flight == set(self.flying.values())
        wrong = "SELECT 1 FROM requests r JOIN attempts a ON a.id = r.answer WHERE a.error IS NOT NULL"
        assert not rows(self.ledger, f"{wrong} OR a.request != r.id OR r.failed IS NOT NULL")
        answers = sum(heard.failed is None for heard in self.known.values())
        spent = self.ledger.spent()
        assert self.ledger.usage() == (
            answers,
            sum(s.prompt_tokens for s in spent),
            sum(s.completion_tokens for s in spent),
        )

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.connection.close()
            shutil.rmtree(self.folder)


TestWriting = Writing.TestCase
TestWriting.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
