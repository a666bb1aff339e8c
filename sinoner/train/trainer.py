"""A transformers Trainer that computes logits only where a token is learned."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer

from sinoner.chat import IGNORE

# Settings of models that change their logits after the output layer; for these the model computes its own loss.
_SPECIAL_LOGITS = ("final_logit_softcapping", "logits_scaling", "logit_scale")


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
        if any(getattr(inner.config, name, None) for name in _SPECIAL_LOGITS):
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
