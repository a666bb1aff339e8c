"""Fine-tuning a tiny model: adapter, losses, resuming, cutoff."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from sinoner import models
from sinoner.chat import encode, prompt_text
from sinoner.errors import InputError
from sinoner.itset.render import conversations
from sinoner.records import HUMAN, Annotation, Conversation, Entity, Passage
from sinoner.settings import TrainSettings
from sinoner.train.loop import Trained, finetune

pytestmark = pytest.mark.usefixtures("one_thread")
CITIES = ("上海", "北京", "杭州", "成都", "广州", "西安")
PEOPLE = ("林晓", "小满", "王安", "陈默")


def conversation(n: int, more: str = "") -> Conversation:
    person, city = PEOPLE[n % 4], CITIES[n % 6]
    text = f"{person}住在{city}。{more}"
    entities = (
        Entity(surface=person, type="人名", starts=(0,)),
        Entity(surface=city, type="地点", starts=(4,)),
    )
    passage = Passage(id=f"p{n}#0", text=text, source="s", lang="zh")
    (made,) = conversations(
        Annotation(passage=passage, entities=entities, by=HUMAN),
        ["地点", "人名", "疾病"][: 2 + n % 2],
        (),
        "sinoner",
        "passage",
    )
    return made


TRAIN = [conversation(n) for n in range(10)]
VALIDATION = [conversation(n) for n in range(10, 13)]


def settings(base: Path, **more: Any) -> TrainSettings:
    values = {
        "lr": 5e-3,
        "epochs": 2,
        "batch_size": 4,
        "micro_batch_size": 2,
        "dtype": "float32",
        "device": "cpu",
    }
    return TrainSettings(base=str(base), **{**values, **more})


def trained(
    folder: Path, values: TrainSettings, seed: int = 42, validation: Any = (), **more: Any
) -> Trained:
    return finetune(TRAIN, validation, values, seed, folder / "adapter", folder / "checkpoints", **more)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter/adapter_model.safetensors")


@pytest.fixture(scope="module")
def finished(
    tiny_llama: Path, one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Trained, list[Any]]:
    folder = tmp_path_factory.mktemp("run")
    steps: list[Any] = []
    values = settings(tiny_llama, epochs=4)
    made = trained(folder, values, validation=VALIDATION, on_step=lambda *step: steps.append(step))
    return folder, made, steps


def test_the_loss_falls(finished: tuple[Path, Trained, list[Any]]) -> None:
    _, made, _ = finished
    first, *_, last = [loss for _, loss in made.losses]
    assert last < 0.7 * first
    assert made.validation_losses[-1][1] < made.validation_losses[0][1] < first


def test_steps_and_counts(finished: tuple[Path, Trained, list[Any]], tiny_llama: Path) -> None:
    _, made, steps = finished
    assert [s for s, _ in made.losses] == list(range(1, 13))  # 10 conversations, 4 a step, 4 epochs
    assert [s for s, _ in made.validation_losses] == [3, 6, 9, 12]
    assert [(s, t) for s, t, _ in steps] == [(s, 12) for s in range(1, 13)]
    assert [loss for _, _, loss in steps] == pytest.approx([loss for _, loss in made.losses], abs=1e-4)
    tokenizer = models.load(str(tiny_llama))[1]
    encoded = [encode(c, tokenizer, 2048) for c in TRAIN]
    assert made.conversations == len(TRAIN)
    assert made.tokens == sum(len(e.ids) for e in encoded if e)
    assert made.learned_tokens == sum(x != -100 for e in encoded if e for x in e.labels)
    assert made.rejects == []


def test_the_adapter_loads(finished: tuple[Path, Trained, list[Any]], tiny_llama: Path) -> None:
    from peft import PeftModel
    from transformers import AutoTokenizer, LlamaForCausalLM

    folder = finished[0] / "adapter"
    assert models.adapter_base(folder) == str(tiny_llama)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (8, 16, 0.0)
    linear = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {name.rpartition(".")[2] for name in config["target_modules"]} == linear
    plain = LlamaForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    ids = torch.tensor([list(b"hello")])
    with torch.inference_mode():
        base = plain(input_ids=ids).logits
        peft = PeftModel.from_pretrained(plain, folder)(input_ids=ids).logits
        merged, tokenizer = models.load(
            str(tiny_llama), adapter=folder, dtype_name="float32", device_name="cpu"
        )
        ours = merged(input_ids=ids).logits
    torch.testing.assert_close(ours, peft, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ours, base, atol=0.1)
    assert AutoTokenizer.from_pretrained(folder).chat_template == tokenizer.chat_template
    assert sorted(p.name for p in finished[0].iterdir()) == ["adapter", "checkpoints"]  # nothing half done


def test_the_best_checkpoint_is_kept(tiny_llama: Path, tmp_path: Path) -> None:
    """Held out: what the training soon forgets, the words that the untrained model says itself."""
    model, tokenizer = models.load(str(tiny_llama), dtype_name="float32", device_name="cpu")
    validation = []
    for about in TRAIN[:4]:
        *rest, last = about.messages
        prompt = tokenizer(prompt_text(rest, tokenizer), add_special_tokens=False, return_tensors="pt")
        said = model.generate(
            **prompt, max_new_tokens=12, do_sample=False, suppress_tokens=list(range(94, 259))
        )
        wrong = replace(last, content=tokenizer.decode(said[0, prompt["input_ids"].shape[1] :]))
        silent = [replace(m, learn=False) for m in rest]
        validation.append(replace(about, messages=(*silent, wrong)))
    made = trained(tmp_path, settings(tiny_llama, lr=2e-2, epochs=5), validation=validation)
    best, lowest = min(made.validation_losses, key=lambda x: x[1])
    assert best < made.validation_losses[-1][0]
    assert lowest < made.validation_losses[-1][1] - 0.1
    model, tokenizer = models.load(
        str(tiny_llama), adapter=tmp_path / "adapter", dtype_name="float32", device_name="cpu"
    )
    total, n = 0.0, 0
    for about in validation:
        encoded = encode(about, tokenizer, 2048)
        assert encoded is not None
        labels = torch.tensor([encoded.labels])
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([encoded.ids])).logits
        total += torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], reduction="sum").item()
        n += int((labels != -100).sum())
    assert total / n == pytest.approx(lowest, rel=1e-2)


def test_same_seed_same_losses(tiny_llama: Path, tmp_path: Path) -> None:
    values = settings(tiny_llama)
    one, two, three = (trained(tmp_path / n, values, seed=s) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert one.losses == two.losses
    assert one.losses != three.losses
    for name, weight in weights(tmp_path / "a").items():
        torch.testing.assert_close(weight, weights(tmp_path / "b")[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("validation", "dropout"), [([], 0.0), (VALIDATION, 0.2)], ids=["alone", "validated"]
)
def test_an_interrupted_training_goes_on(
    tiny_llama: Path, tmp_path: Path, validation: list[Conversation], dropout: float
) -> None:
    values = settings(tiny_llama, epochs=3, dropout=dropout)
    whole = trained(tmp_path / "whole", values, validation=validation)

    def interrupt(step: int, total: int, loss: float) -> None:
        if step == 5:  # 3 steps an epoch: in the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", values, validation=validation, on_step=interrupt)
    assert not (tmp_path / "cut/adapter").exists()
    assert [p.name for p in (tmp_path / "cut/checkpoints").iterdir()] == ["checkpoint-3"]
    steps: list[int] = []
    again = trained(
        tmp_path / "cut", values, validation=validation, on_step=lambda step, total, loss: steps.append(step)
    )
    assert steps == [4, 5, 6, 7, 8, 9]
    assert [s for s, _ in again.losses] == [s for s, _ in whole.losses]
    assert [x for _, x in again.losses] == pytest.approx([x for _, x in whole.losses], abs=1e-4)
    for name, weight in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weights(tmp_path / "cut")[name], weight, rtol=0, atol=1e-4)


def test_warnings_of_transformers_about_itself_are_not_shown(
    tiny_llama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always", FutureWarning)
        trained(tmp_path, settings(tiny_llama, epochs=1))
    assert [w.filename for w in shown if w.category is FutureWarning] == []
    assert capfd.readouterr().err == ""


def test_a_half_written_checkpoint_is_passed_over(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints/checkpoint-99").mkdir(parents=True)
    made = trained(tmp_path, settings(tiny_llama, epochs=1))
    assert [s for s, _ in made.losses] == [1, 2, 3]


def test_an_older_adapter_is_replaced(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/old.txt").write_text("old")
    trained(tmp_path, settings(tiny_llama, epochs=1))
    assert not (tmp_path / "adapter/old.txt").exists()
    assert (tmp_path / "adapter/adapter_model.safetensors").is_file()


def test_what_does_not_fit_is_told(tiny_llama: Path, tmp_path: Path) -> None:
    tokenizer = models.load(str(tiny_llama))[1]
    lengths = [len(encode(c, tokenizer, 10**6).ids) for c in TRAIN]  # type: ignore[union-attr]
    cutoff = min(lengths)  # that of the conversations with two queries; those with three lose one
    long = conversation(50, "很长" * 400)
    made = finetune(
        [*TRAIN, long], [conversation(51, "很长" * 400)], settings(tiny_llama, epochs=1, cutoff=cutoff), 1,
        tmp_path / "adapter", tmp_path / "checkpoints",
    )  # fmt: skip
    told = {(r.id, r.reason, r.unit) for r in made.rejects}
    assert {r.stage for r in made.rejects} == {"finetune"}
    assert {
        ("p50#0", "too_many_tokens", "conversation"),
        ("p51#0", "too_many_tokens", "conversation"),
    } <= told
    dropped = {r.id for r in made.rejects if r.reason == "queries_dropped"}
    assert dropped == {c.id for c, n in zip(TRAIN, lengths, strict=True) if n > cutoff}
    assert made.conversations == len(TRAIN)
    assert made.validation_losses == []
    assert len(made.rejects) == len(dropped) + 2


def test_nothing_fits(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of 10 conversations fits into train\.cutoff=32 tokens"):
        trained(tmp_path, settings(tiny_llama, cutoff=32))
    assert list(tmp_path.iterdir()) == []


def test_no_base_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.base is not set"):
        trained(tmp_path, TrainSettings())


def test_unknown_base_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train.base: .*there is no such folder"):
        trained(tmp_path, settings(Path("nobody/no-such-model")))
