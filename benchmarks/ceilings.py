"""Ground-truth ceilings of the ladders: ``python benchmarks/ceilings.py`` prints docs/testbed.md's tables.

``--known`` prints what pre-training left in each rung, before any fine-tuning.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from w2s_pref.analysis.stats.basics import credit
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.testbed.ladder import LADDER, path
from w2s_pref.testbed.oracle import judge
from w2s_pref.testbed.words import DANGEROUS, EOS, SAFE, STRONG, WEAK
from w2s_pref.testbed.world import TIERS, generate
from w2s_pref.testbed.worlds import WORLDS

#: p of the true answer at which a ceiling is said to know a pair.
KNOWN = 0.75
BATCH = 16
#: Of every rung's fine-tuning: AdamW, linear decay to 0, one epoch.
LEARNING_RATE = 1e-3


def folder(rung: str) -> Path:
    """Of a rung of the shipped ladder, or the one whose path (with a slash) this is."""
    return Path(rung) if "/" in rung else path(rung)


class Pairs:
    """Tokenized pairs of a frame: id tensors of shape (rows, length), right-padded, chosen and rejected."""

    def __init__(self, frame: pd.DataFrame, name: str) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder(name))
        self.sides: list[dict[str, torch.Tensor]] = []
        for side in ("chosen", "rejected"):
            texts = (frame["prompt"] + frame[side] + EOS).tolist()
            self.sides.append(dict(tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)))

    def gap(self, model: PreTrainedModel, rows: Ints) -> torch.Tensor:
        """Reward of chosen minus rejected on some rows: shape (rows,)."""
        index = torch.from_numpy(rows)
        longest = int(max(side["attention_mask"][index].sum(dim=1).max() for side in self.sides))
        inputs = {
            key: torch.cat([_cut(side[key][index], longest) for side in self.sides])
            for key in ("input_ids", "attention_mask")
        }
        chosen, rejected = model(**inputs).logits.squeeze(-1).chunk(2)
        gap: torch.Tensor = chosen - rejected
        return gap


def _cut(ids: torch.Tensor, length: int) -> torch.Tensor:
    """Exactly ``length`` columns; the two sides may have been padded differently."""
    return torch.nn.functional.pad(ids, (0, max(0, length - ids.shape[1])))[:, :length]


def reward_model(name: str, pairs: Pairs, labels: Floats, seed: int) -> PreTrainedModel:
    """Fine-tune a rung on P(chosen is better) = ``labels`` of shape (rows,) in [0, 1]."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(folder(name), num_labels=1, dtype=torch.float32)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    rng, target = np.random.default_rng(seed), torch.from_numpy(labels).float()
    batches = np.array_split(rng.permutation(len(labels)), len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / len(batches))
    for rows in batches:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(pairs.gap(model, rows), target[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        model.zero_grad(set_to_none=True)
    return model.eval()


def probabilities(model: PreTrainedModel, pairs: Pairs, rows: int) -> Floats:
    """P(chosen is better) of every pair: shape (rows,) in [0, 1]."""
    with torch.inference_mode():
        parts = [pairs.gap(model, b) for b in np.array_split(np.arange(rows), max(1, rows // 256))]
    return np.asarray(torch.cat(parts).sigmoid().double().numpy())


def verdicts(name: str, rows: int, world: str) -> None:
    """Print how often the more likely verdict word after one chat is the true one, by tiers; chance is .5."""
    frame = generate(rows, seed=0, world=world)
    asked, said = frame["prompt"].tolist(), frame["chosen"].where(frame.index % 2 == 0, frame["rejected"]).tolist()
    truth = [judge(prompt, answer) for prompt, answer in zip(asked, said, strict=True)]
    tokenizer = AutoTokenizer.from_pretrained(folder(name), padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder(name), dtype=torch.float32).eval()
    texts = [prompt + answer + EOS for prompt, answer in zip(asked, said, strict=True)]
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)).logits[:, -1]
    words = {word: logits[:, tokenizer.convert_tokens_to_ids(word)].numpy() for word in (DANGEROUS, SAFE, STRONG, WEAK)}
    danger = np.array([each.harmless != 1 for each in truth]), words[DANGEROUS] > words[SAFE]
    use = np.array([each.helpful != 0 for each in truth]), words[STRONG] > words[WEAK]
    for title, (true, found) in {"danger": danger, "usefulness": use}.items():
        print(
            f"{folder(name).name:8} {title:10} known {_row((true == found).astype(float), frame['tier'].to_numpy())}",
            flush=True,
        )


def _row(p: Floats, tier: Ints) -> str:
    """Accuracy over everything and per tier."""
    return " ".join(f"{credit(p[keep] - 0.5).mean():5.3f}" for keep in [tier >= 0, *(tier == t for t in TIERS)])


def measure(seed: int, rungs: tuple[str, ...], objective: str, rows: int, world: str) -> None:
    """Print ceilings per tier, regions of smallest and largest, and the student of the smallest's soft labels."""
    frame = generate(3 * rows, seed=seed, objective=objective, world=world)
    train, extra, test = (frame[i * rows : (i + 1) * rows].reset_index(drop=True) for i in range(3))
    tier = test["tier"].to_numpy()
    data = [Pairs(part, rungs[0]) for part in (train, extra, test)]
    found: dict[str, Floats] = {}
    weak_labels = np.ones(rows)
    for name in rungs:
        start = time.perf_counter()
        model = reward_model(name, data[0], np.ones(rows), seed)
        spent = time.perf_counter() - start
        found[name] = probabilities(model, data[2], rows)
        print(
            f"{objective:8} seed {seed} {folder(name).name:8} ceiling {_row(found[name], tier)}  {spent:5.1f} s",
            flush=True,
        )
        if name == rungs[0]:
            weak_labels = probabilities(model, data[1], rows)
    strong = rungs[-1]
    student = reward_model(strong, data[1], weak_labels, seed)
    p = probabilities(student, data[2], rows)
    print(
        f"{objective:8} seed {seed} {folder(rungs[0]).name}>{folder(strong).name} student {_row(p, tier)}", flush=True
    )
    known, weak_known = found[strong] >= KNOWN, found[rungs[0]] >= KNOWN
    cells = [known & ~weak_known, known & weak_known, ~known & weak_known, ~known & ~weak_known]
    shares = " ".join(f"{cell.mean():.3f}" for cell in cells)
    print(f"{objective:8} seed {seed} regions Sk&Wuk Sk&Wk Suk&Wk Suk&Wuk {shares}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--world", choices=list(WORLDS), default="small")
    parser.add_argument("--rungs", nargs="+", default=list(LADDER), help="rungs of the world, or folders of such")
    parser.add_argument("--objective", default="harmless")
    parser.add_argument("--rows", type=int, default=1000, help="pairs in each of the three splits")
    parser.add_argument("--known", action="store_true", help="what the language models know, and no ceilings")
    options = parser.parse_args()
    for name in options.rungs if options.known else ():
        verdicts(name, options.rows, options.world)
    if options.known:
        return
    print("columns: overall, tiers 0 1 2 3 4, seconds of training")
    for seed in options.seeds:
        measure(seed, tuple(options.rungs), options.objective, options.rows, options.world)


if __name__ == "__main__":
    main()
