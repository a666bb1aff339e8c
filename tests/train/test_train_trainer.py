"""The loss of learned tokens only is the plain Trainer's loss, step by step."""

import copy
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from sinoner.chat import IGNORE
from sinoner.train.trainer import _PLAIN_LOGITS, LearnedTokensTrainer

SMALL = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(n: int = 14) -> list[dict[str, list[int]]]:
    """Sequences of different lengths with learned spans of different sizes."""
    random = Random(3)
    made = []
    for i in range(n):
        ids = [random.randrange(3, 40) for _ in range(random.randrange(6, 30))]
        labels = [
            x if j > 1 and (j % 5 == 0 or j > len(ids) - 2 - i % 4) else IGNORE for j, x in enumerate(ids)
        ]
        made.append({"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)})
    return made


def padded(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(r["input_ids"]) for r in batch)
    blank = {"input_ids": 0, "labels": IGNORE, "attention_mask": 0}
    return {k: torch.tensor([r[k] + [v] * (width - len(r[k])) for r in batch]) for k, v in blank.items()}


def adapted(config: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))


def history(
    kind: Any, model: Any, folder: Path, micro: int, accumulate: int
) -> tuple[list[float], list[float], Any]:
    from transformers import PrinterCallback, TrainingArguments, set_seed

    set_seed(7)
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=2, per_device_train_batch_size=micro,
        per_device_eval_batch_size=3, gradient_accumulation_steps=accumulate, learning_rate=3e-3,
        logging_steps=1, eval_strategy="epoch", save_strategy="no", report_to="none", use_cpu=True,
        disable_tqdm=True, seed=7, data_seed=7, remove_unused_columns=False,
    )  # fmt: skip
    trainer = kind(
        model=copy.deepcopy(model), args=arguments, train_dataset=rows(), eval_dataset=rows(5),
        data_collator=padded,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    log = trainer.state.log_history
    weights = {n: p.detach() for n, p in trainer.model.named_parameters() if p.requires_grad}
    return [x["loss"] for x in log if "loss" in x], [x["eval_loss"] for x in log if "eval_loss" in x], weights


@pytest.mark.parametrize(("micro", "accumulate"), [(1, 1), (4, 1), (2, 3)])
def test_the_losses_are_those_of_the_plain_trainer(tmp_path: Path, micro: int, accumulate: int) -> None:
    from transformers import LlamaConfig, Trainer

    model = adapted(LlamaConfig(**SMALL))
    losses, validation, weights = history(LearnedTokensTrainer, model, tmp_path, micro, accumulate)
    plain_losses, plain_validation, plain_weights = history(Trainer, model, tmp_path, micro, accumulate)
    assert len(losses) == 2 * -(-14 // (micro * accumulate))
    assert losses == pytest.approx(plain_losses, abs=1e-5)
    assert validation == pytest.approx(plain_validation, abs=1e-5)
    assert losses[0] > 1
    assert set(weights) == set(plain_weights)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, plain_weights[name], atol=1e-4, rtol=0)


def test_the_loss_is_the_mean_over_learned_tokens(tmp_path: Path) -> None:
    """Against a cross-entropy written out, token by token."""
    from transformers import LlamaConfig, TrainingArguments

    model = adapted(LlamaConfig(**SMALL)).eval()
    trainer = LearnedTokensTrainer(
        model=model, args=TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    )
    batch = rows(5)
    total, n = 0.0, 0
    for row in batch:
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].double()
        for place, label in enumerate(row["labels"]):
            if label != IGNORE:
                total -= scores[place - 1].log_softmax(-1)[label].item()
                n += 1
    assert trainer.compute_loss(model, padded(batch)).item() == pytest.approx(total / n, abs=1e-5)
    loss = trainer.compute_loss(model, padded(batch), num_items_in_batch=torch.tensor(4 * n))
    assert loss.item() == pytest.approx(total / (4 * n), abs=1e-5)


@pytest.mark.parametrize("family", sorted(_PLAIN_LOGITS))
def test_every_family_that_is_taken_for_plain(tmp_path: Path, family: str) -> None:
    from transformers import AutoConfig, Trainer, TrainingArguments

    model = adapted(AutoConfig.for_model(family, **SMALL)).eval()
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    batch = padded(rows(4))
    ours = LearnedTokensTrainer(model=model, args=arguments).compute_loss(model, batch)
    plain = Trainer(model=model, args=arguments).compute_loss(model, batch)
    assert ours.item() == pytest.approx(plain.item(), abs=1e-5)


RECURRENT_GEMMA = {
    "logits_soft_cap": 2.0,
    "lru_width": 32,
    "head_dim": 8,
    "block_types": ["recurrent", "attention"],
}


def configuration(kind: str, settings: dict[str, Any]) -> Any:
    """A small configuration; that of Gemma 4 holds its text model's settings one level down."""
    import transformers

    if kind != "Gemma4Config":
        return getattr(transformers, kind)(**SMALL, **settings)
    text = transformers.Gemma4TextConfig(
        **SMALL, **settings, vocab_size_per_layer_input=40, hidden_size_per_layer_input=8
    )
    return transformers.Gemma4Config(text_config=text.to_dict(), vision_config=None, audio_config=None)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("GraniteConfig", {"logits_scaling": 5.0}),
        ("CohereConfig", {"logit_scale": 0.25}),
        ("Gemma2Config", {"final_logit_softcapping": 2.0, "head_dim": 8}),
        ("RecurrentGemmaConfig", RECURRENT_GEMMA),
        ("Gemma4Config", {"final_logit_softcapping": 2.0, "head_dim": 8}),
    ],
)
def test_models_that_change_their_logits(
    tmp_path: Path, kind: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer, TrainingArguments

    model = adapted(configuration(kind, settings)).eval()
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    batch = padded(rows(4))
    ours = LearnedTokensTrainer(model=model, args=arguments).compute_loss(model, batch)
    plain = Trainer(model=model, args=arguments).compute_loss(model, batch)
    assert ours.item() == pytest.approx(plain.item(), abs=1e-5)
    family = frozenset((model.config.model_type,))  # and it is the list of families that matters
    monkeypatch.setattr("sinoner.train.trainer._PLAIN_LOGITS", family)
    bare = LearnedTokensTrainer(model=model, args=arguments).compute_loss(model, batch)
    assert abs(bare.item() - plain.item()) > 1e-3
