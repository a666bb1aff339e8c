"""A transformers Trainer that computes logits only where a token is learned."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer

from sinoner.chat import IGNORE

# Model families whose logits are just the output layer of the last hidden state (checked in the source of
# transformers 5.23). Others may scale or cap the logits, so they compute their own loss.
_PLAIN_LOGITS = frozenset(("llama", "mistral", "olmo2", "qwen2", "qwen3", "smollm3"))


class LearnedTokensTrainer(Trainer):  # type: ignore[misc]
    """The same loss as that of the plain Trainer, without computing logits of tokens outside the loss.

    Most tokens of a retrieval-augmented conversation belong to examples and passage, and the output layer over a large
    vocabulary is a good part of the computation.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean cross-entropy of the learned tokens (of the whole accumulated batch when the Trainer passes its size)."""
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
