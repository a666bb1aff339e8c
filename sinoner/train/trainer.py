"""A transformers Trainer that computes logits only where a token is learned."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer

from sinoner.chat import IGNORE

# Families whose logits are the output layer of the last hidden state and nothing else (read in their source in
# transformers 5.23). Others may scale or cap them, so they compute their own loss.
_PLAIN_LOGITS = frozenset(("llama", "mistral", "olmo2", "qwen2", "qwen3", "smollm3"))


class LearnedTokensTrainer(Trainer):  # type: ignore[misc]
    """The same loss as the plain Trainer's, without the logits of tokens that do not count.

    Most tokens of a retrieval-augmented conversation are examples and passage; the output layer over a large
    vocabulary is a good part of the work.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean cross-entropy of the learned tokens (of the whole accumulated batch, as the Trainer asks)."""
        inner = self.accelerator.unwrap_model(model).get_base_model()
        if inner.config.model_type not in _PLAIN_LOGITS:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        learned = labels != IGNORE
        body = getattr(inner, inner.base_model_prefix)
        hidden = body(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state
        logits = inner.get_output_embeddings()(hidden[:, :-1][learned]).float()
        total = torch.nn.functional.cross_entropy(logits, labels[learned], reduction="sum")
        loss = total / (num_items_in_batch if num_items_in_batch is not None else learned.sum())
        return (loss, {"loss": loss}) if return_outputs else loss
