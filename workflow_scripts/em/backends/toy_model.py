"""The toy model: a small Llama trained from scratch on chat pages, then tuned to careful answers."""

import math
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.files import atomic_dir, read_jsonl
from workflow_scripts.em.progress import Progress

disable_progress_bar()
MAX_POSITIONS = 2048
SORT_SPAN = 8  # batches are cut from shuffled spans of this many batches, sorted by length: little padding


def pretrain(documents: Path, tokenizer_dir: Path, size: dict, seed: int, out: Path) -> dict:
    """Train a base model on all tokens of the pages; write a model folder; returns counts and the last loss."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(size, tokenizer))
    matrices, others = [], []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed" not in name else others).append(weight)
    optimizers = [
        torch.optim.Muon(matrices, lr=size["muon_lr"], weight_decay=size["weight_decay"]),
        torch.optim.AdamW(others, lr=size["adamw_lr"], weight_decay=size["weight_decay"]),
    ]
    rows = _tokenized(tokenizer, documents, answers_only=False)
    losses = _train(model, rows, optimizers, size["pretrain_steps"], size["pretrain_batch"], seed)
    _save(model, tokenizer, out)
    return {"parameters": model.num_parameters(), **_summary(rows, losses)}


def tune(base: Path, careful: Path, size: dict, seed: int, out: Path) -> dict:
    """Tune all weights on careful answers, with loss on the answers only; write a standard model folder."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=size["tune_lr"], weight_decay=0.0)
    rows = _tokenized(tokenizer, careful, answers_only=True)
    losses = _train(model, rows, [optimizer], size["tune_steps"], size["tune_batch"], seed)
    _save(model, tokenizer, out)
    return _summary(rows, losses)


def _config(size: dict, tokenizer) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size["hidden"],
        intermediate_size=size["hidden"] * 8 // 3,
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=size["heads"],
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _tokenized(tokenizer, path: Path, answers_only: bool) -> list[tuple[list[int], list[int]]]:
    """(token ids, labels) of each row; labels are -100 where no loss is taken."""
    conversations = [row["messages"] for row in read_jsonl(path)]
    encoded = tokenizer.apply_chat_template(conversations, return_dict=True, return_assistant_tokens_mask=True)
    rows = []
    for ids, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        if not any(mask):
            raise UserError(f"{path}: a row has no assistant tokens; rebuild the tokenizer (its template marks them)")
        ids, mask = ids[:MAX_POSITIONS], mask[:MAX_POSITIONS]
        rows.append((ids, [i if m else -100 for i, m in zip(ids, mask, strict=True)] if answers_only else ids))
    return rows


def _batches(rows: list, steps: int, size: int, seed: int) -> list[list[int]]:
    """Row indices of each step: whole passes in shuffled order, sorted by length within a span of batches."""
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    while len(order) < steps * size:
        order += torch.randperm(len(rows), generator=generator).tolist()
    batches: list[list[int]] = []
    for start in range(0, steps * size, SORT_SPAN * size):
        span = sorted(order[start : min(start + SORT_SPAN * size, steps * size)], key=lambda i: len(rows[i][0]))
        cut = [span[i : i + size] for i in range(0, len(span), size)]
        batches += [cut[i] for i in torch.randperm(len(cut), generator=generator).tolist()]
    return batches


def _train(model, rows: list, optimizers: list, steps: int, batch: int, seed: int) -> list[float]:
    """Cosine schedule to zero; returns each step's loss. Right padding needs no mask: attention looks back only."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).train()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    losses, progress = [], Progress("training", steps, "steps")
    for step, indices in enumerate(_batches(rows, steps, batch, seed)):
        width = max(len(rows[i][0]) for i in indices)
        ids = torch.tensor([rows[i][0] + [model.config.pad_token_id] * (width - len(rows[i][0])) for i in indices])
        labels = torch.tensor([rows[i][1] + [-100] * (width - len(rows[i][1])) for i in indices])[:, 1:].to(device)
        hidden = model.model(ids.to(device), use_cache=False).last_hidden_state[:, :-1]
        wanted = labels != -100
        loss = cross_entropy(model.lm_head(hidden[wanted]), labels[wanted])
        loss.backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        progress.add(1, f"loss {losses[-1]:.3f}")
    return losses


def _summary(rows: list, losses: list[float]) -> dict:
    last = losses[-20:]
    return {
        "rows": len(rows),
        "tokens": sum(len(ids) for ids, _ in rows),
        "final_loss": round(sum(last) / len(last), 4),
    }


def _save(model, tokenizer, out: Path) -> None:
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    with atomic_dir(out) as folder:
        model.cpu().save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
