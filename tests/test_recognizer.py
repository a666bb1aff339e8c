"""Text and types in, grounded entities out."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sinoner.errors import InputError
from sinoner.itset.render import query_conversation, query_conversations
from sinoner.recognizer import Recognizer
from sinoner.records import HUMAN, Annotation, Conversation, Entity, Passage
from sinoner.settings.itset_section import Mode

pytestmark = pytest.mark.usefixtures("one_thread")


class Scripted:
    """A generator that gives prepared answers and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.asked: list[Conversation] = []

    def __call__(self, conversations: Sequence[Conversation]) -> Iterator[str]:
        self.asked += conversations
        return iter(self.answers)


TEXT = "林晓在ＡＣＭＥ公司，林晓住《上海》。"


def extract(answer: str, text: str = TEXT) -> list[tuple[str, tuple[int, ...]]]:
    made = Recognizer(Scripted(answer), "m").extract(text, ["类"])
    assert all(e.type == "类" for e in made.entities)
    return [(e.surface, e.starts) for e in made.entities]


@pytest.mark.parametrize(
    ("answer", "entities"),
    [
        ('["林晓"]', [("林晓", (0, 10))]),
        (
            '["acme公司", "《上海》"]',
            [("ＡＣＭＥ公司", (3,)), ("《上海》", (13,))],
        ),  # as the passage writes it
        ('["【上海】"]', [("上海", (14,))]),
        ('["北京"]', []),  # not in the text
        ('["林晓", "林晓"]', [("林晓", (0, 10))]),
        ("[]", []),
        ("我不知道", []),
        ("", []),
        ('["林晓"', []),
        ('好的：["林晓"]。', [("林晓", (0, 10))]),
        ('["", " "]', []),
    ],
)
def test_what_is_in_the_text_is_given(answer: str, entities: list[tuple[str, tuple[int, ...]]]) -> None:
    assert extract(answer) == entities


def test_every_type_is_asked_in_order() -> None:
    generator = Scripted('["上海"]', "[]", '["林晓", "上海"]')
    made = Recognizer(generator, "my-model").extract(TEXT, ["地点", "产品", "名字"])
    assert [(e.type, e.surface) for e in made.entities] == [
        ("地点", "上海"),
        ("名字", "林晓"),
        ("名字", "上海"),
    ]
    assert made.by.label == "my-model"
    assert made.passage.text == TEXT
    assert [c.types for c in generator.asked] == [("地点",), ("产品",), ("名字",)]
    assert generator.asked[0] == query_conversation(made.passage, "地点", (), "sinoner")


def test_the_language_and_the_style_are_those_of_training() -> None:
    passage = Passage(id="e#0", text="Tom is in Oslo.", source="s", lang="en")
    example = Annotation(
        passage=passage, entities=(Entity(surface="Tom", type="person", starts=(0,)),), by=HUMAN
    )
    generator = Scripted('["ann"]')
    made = Recognizer(generator, "m", "rait").extract("Ann left.", ["person"], [example])
    assert made.entities == (Entity(surface="Ann", type="person", starts=(0,)),)
    turns = [m.content for m in generator.asked[0].messages]
    assert turns[0].endswith("Text: Tom is in Oslo.\nEntity: [{'Tom': 'person'}]")
    assert turns[-1] == 'What describes "person" in the text?'


OBJECT = '{"人物": ["林晓", "王五"], "地  点": ["《上海》"], "公司": ["acme公司"], "时间": []}'


@pytest.mark.parametrize("mode", ["all", "schema"])
def test_a_model_that_answers_with_an_object_is_asked_once(mode: Mode) -> None:
    generator = Scripted(OBJECT)
    made = Recognizer(generator, "m", "sinoner", mode).extract(TEXT, ["地点", "人物", "产品"])
    assert [(e.type, e.surface) for e in made.entities] == [("地点", "《上海》"), ("人物", "林晓")]
    assert generator.asked == list(
        query_conversations(made.passage, ["地点", "人物", "产品"], (), "sinoner", mode)
    )


@pytest.mark.parametrize("answer", ["", "[]", '["林晓"]', '{"林晓": "人物"}', '{"人物": ["林晓"'])
def test_an_object_that_cannot_be_read_gives_nothing(answer: str) -> None:
    assert Recognizer(Scripted(answer), "m", mode="schema").extract(TEXT, ["人物"]).entities == ()


@pytest.mark.parametrize("mode", ["passage", "all", "schema"])
def test_no_types_in_any_mode(mode: Mode) -> None:
    generator = Scripted()
    assert Recognizer(generator, "m", mode=mode).extract(TEXT, []).entities == ()
    assert not generator.asked


def test_an_answer_too_few_is_no_empty_answer() -> None:
    with pytest.raises(ValueError, match="zip"):
        Recognizer(Scripted("[]"), "m").extract(TEXT, ["a", "b"])


# real models -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an adapter under ``adapter/``."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    folder = tmp_path_factory.mktemp("run")
    model = LlamaForCausalLM.from_pretrained(tiny_llama)
    get_peft_model(
        model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    ).save_pretrained(folder / "adapter")
    return folder


def answers(model: str, **settings: str) -> list[str]:
    recognizer = Recognizer.from_pretrained(model, device="cpu", **settings)  # type: ignore[arg-type]
    recognizer._generate._max_new_tokens = 12  # type: ignore[attr-defined]
    made = recognizer.extract("林晓在上海。", ["人名"])
    assert made.by.label == model
    passage = Passage(id="p#0", text="林晓在上海。", source="s", lang="zh")
    return list(recognizer._generate([query_conversation(passage, "人名", (), "sinoner")]))


def test_from_pretrained(tiny_llama: Path, run_folder: Path) -> None:
    base, run = answers(str(tiny_llama)), answers(str(run_folder))
    assert run == answers(str(run_folder / "adapter"))
    assert run != base


def test_from_pretrained_with_another_base(tiny_llama: Path, run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "moved")
    assert answers(str(run_folder), base=str(tmp_path / "moved")) == answers(str(run_folder))
    with pytest.raises(InputError, match="no/such-base"):
        answers(str(run_folder), base="no/such-base")


def test_from_pretrained_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this folder contains no config.json"):
        Recognizer.from_pretrained(str(tmp_path))


def test_a_run_folder_says_in_which_style_and_mode_it_was_trained(tiny_llama: Path, tmp_path: Path) -> None:
    def asks(model: Path, **settings: str) -> tuple[str, str]:
        made = Recognizer.from_pretrained(str(model), device="cpu", **settings)  # type: ignore[arg-type]
        return made._style, made._mode

    (tmp_path / "recipe.yaml").write_text("it_set: {style: rait, mode: schema}\n")
    for file in tiny_llama.iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    assert asks(tmp_path) == ("rait", "schema")
    assert asks(tmp_path, style="sinoner") == ("sinoner", "schema")
    assert asks(tmp_path, mode="all") == ("rait", "all")
    assert asks(tmp_path, style="uniner", mode="type") == ("uniner", "type")
    assert asks(tiny_llama) == ("sinoner", "passage")
    assert asks(tiny_llama, mode="all") == ("sinoner", "all")


def test_an_object_may_be_longer_than_a_list(tiny_llama: Path) -> None:
    for mode, tokens in (("passage", 256), ("type", 256), ("all", 1024), ("schema", 1024)):
        made = Recognizer.from_pretrained(str(tiny_llama), device="cpu", mode=mode)  # type: ignore[arg-type]
        assert made._generate._max_new_tokens == tokens  # type: ignore[attr-defined]


def test_an_empty_text_is_a_persons_mistake() -> None:
    with pytest.raises(InputError, match="no text"):
        Recognizer(Scripted("[]"), "m").extract(" \n", ["类"])
