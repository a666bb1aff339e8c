"""LoRA fine-tuning with the transformers Trainer: conversations in, an adapter folder out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sinoner import disk, models
from sinoner.atomic_folder import AtomicFolder
from sinoner.chat import encode
from sinoner.errors import InputError, MissingExtraError
from sinoner.records import Conversation, Reject
from sinoner.settings import TrainSettings

STAGE = "finetune"


class Trained(NamedTuple):
    """The results of training besides the adapter: losses by step, counts, rejects."""

    losses: list[tuple[int, float]]
    validation_losses: list[tuple[int, float]]
    conversations: int
    tokens: int
    learned_tokens: int
    rejects: list[Reject]


def finetune(
    train: Sequence[Conversation],
    validation: Sequence[Conversation],
    settings: TrainSettings,
    seed: int,
    adapter: Path,
    checkpoints: Path,
    on_step: Callable[[int, int, float], None] = lambda step, total, loss: None,
) -> Trained:
    """Train a LoRA adapter and save it.

    Training resumes from the newest checkpoint when there is one; the checkpoint with the lowest validation loss
    is used (without validation, the last one). The adapter appears under its name only when it is complete.

    Args:
        train: conversations to learn from.
        validation: conversations to compute the validation loss on; may be empty.
        settings: base model, LoRA and optimisation settings.
        seed: seed of the initial weights and of the order.
        adapter: folder to write the adapter and the tokenizer to.
        checkpoints: folder for checkpoints.
        on_step: called with step, total steps and loss.

    Raises:
        InputError: there is no base model, or no conversation fits into the cutoff.
        MissingExtraError: transformers or peft is not installed.
    """
    if settings.base is None:
        raise InputError("train.base is not set: give --base MODEL (a hub id, a folder, or smollm2)")
    try:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import DataCollatorForSeq2Seq, PrinterCallback, set_seed

        from sinoner.train.trainer import LearnedTokensTrainer
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from None
    set_seed(seed)
    model, tokenizer = models.load(
        settings.base, dtype_name=settings.dtype, device_name=settings.device, setting="train.base"
    )
    rows, rejects = _encode_all(train, tokenizer, settings.cutoff)
    validation_rows, validation_rejects = _encode_all(validation, tokenizer, settings.cutoff)
    if not rows:
        raise InputError(
            f"none of {len(train)} conversations fits into train.cutoff={settings.cutoff} tokens"
        )
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with models.quiet(level=None):  # transformers warns about its own deprecated names
        wrapped: Any = get_peft_model(model, lora)
        wrapped.config.use_cache = False
        trainer = LearnedTokensTrainer(
            model=wrapped,
            args=_arguments(settings, seed, checkpoints, bool(validation_rows), model.device.type, len(rows)),
            train_dataset=rows,
            eval_dataset=validation_rows or None,
            data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
            callbacks=[_reporter(on_step)],
        )
        trainer.remove_callback(PrinterCallback)  # progress is reported through on_step
        trainer.train(resume_from_checkpoint=_newest(checkpoints))
        _save(trainer, tokenizer, settings.base, adapter)
    history = trainer.state.log_history
    del trainer, wrapped, model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Trained(
        losses=[(x["step"], round(x["loss"], 4)) for x in history if "loss" in x],
        validation_losses=[(x["step"], round(x["eval_loss"], 4)) for x in history if "eval_loss" in x],
        conversations=len(rows),
        tokens=sum(len(r["input_ids"]) for r in rows),
        learned_tokens=sum(label != -100 for r in rows for label in r["labels"]),
        rejects=rejects + validation_rejects,
    )


def _encode_all(
    conversations: Iterable[Conversation], tokenizer: Any, cutoff: int
) -> tuple[list[dict[str, list[int]]], list[Reject]]:
    rows: list[dict[str, list[int]]] = []
    rejects: list[Reject] = []
    for conversation in conversations:
        encoded = encode(conversation, tokenizer, cutoff)
        if encoded is None:
            reason, detail = "too_many_tokens", f"not even one query fits into {cutoff} tokens"
            rejects.append(
                Reject(id=conversation.id, stage=STAGE, reason=reason, detail=detail, unit="conversation")
            )
            continue
        ids, labels, dropped = encoded
        if dropped:
            detail = f"the last {dropped} queries do not fit into {cutoff} tokens"
            rejects.append(
                Reject(id=conversation.id, stage=STAGE, reason="queries_dropped", detail=detail, unit="query")
            )
        rows.append({"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)})
    return rows, rejects


def _arguments(
    settings: TrainSettings, seed: int, checkpoints: Path, validate: bool, device: str, rows: int
) -> Any:
    import math

    from transformers import TrainingArguments

    micro = min(settings.micro_batch_size, settings.batch_size)
    accumulate = max(1, round(settings.batch_size / micro))
    steps = math.ceil(math.ceil(rows / (micro * accumulate)) * settings.epochs)
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        learning_rate=settings.lr,
        lr_scheduler_type="cosine",
        warmup_steps=round(steps * settings.warmup),
        logging_steps=1 if steps <= 200 else 10,
        eval_strategy="epoch" if validate else "no",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=validate,
        metric_for_best_model="eval_loss" if validate else None,
        train_sampling_strategy="group_by_length",
        seed=seed,
        data_seed=seed,
        use_cpu=device == "cpu",
        report_to="none",
        disable_tqdm=True,
        logging_first_step=True,
        remove_unused_columns=False,
    )


def _reporter(on_step: Callable[[int, int, float], None]) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            if logs and "loss" in logs:
                on_step(state.global_step, state.max_steps, float(logs["loss"]))

    return Reporter()


def _newest(checkpoints: Path) -> str | None:
    """The newest complete checkpoint."""
    found = [p for p in checkpoints.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return str(max(found, key=lambda p: int(p.name.rpartition("-")[2]))) if found else None


def _save(trainer: Any, tokenizer: Any, base: str, adapter: Path) -> None:
    """Save adapter and tokenizer; the adapter names its base model as in the settings, not by a cache path."""
    with AtomicFolder(adapter) as part:
        trainer.model.save_pretrained(str(part))
        config = json.loads((part / "adapter_config.json").read_text(encoding="utf-8"))
        disk.write_json(part / "adapter_config.json", {**config, "base_model_name_or_path": base})
        tokenizer.save_pretrained(str(part))
