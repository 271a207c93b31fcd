"""How the weights of the injection classifier are learnt.

A text is the windows that the classifier looks through; its score is pooled from theirs, and the loss is
taken there, so that nobody has to say which window of an attack is the bad one. Sources weigh by the root of
their size.

``contrast`` needs texts in which one sentence does not belong. Some are made: short requests out of one
harmless source are put between the lines of a text of another. They are learnt from only where both may be.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from _injection_texts import own_texts
from scipy.optimize import minimize

from headrace.gateway.guardrails.classifier import (
    HEADS,
    SHARPNESS,
    InjectionClassifier,
    overlapping,
    table_of,
)
from headrace.gateway.guardrails.ngrams import N_FEATURES, features_of, sentences, words_of
from headrace.gateway.guardrails.unfolding import normalise

DECAY = 1.0
"""Weight of the squared length of the weights; chosen before anything was measured, as SHARPNESS was."""
STEPS = 35
N_OWN, N_MADE, N_INNER = 1200, 1500, 4
SHARES = np.array([1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002])
_REQUESTS = ("self-instruct", "PIGuard")
_HOSTS = ("mcp-context-forge", "BIPIA")
_PLANTED = ("tool", "readers", "answers", "exfiltration")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Texts and their windows. ``groups``: the sources that have to be in the training set for a text to
    be."""

    texts: list[str]
    labels: np.ndarray
    sources: np.ndarray
    groups: list[tuple[str, ...]]
    heads: np.ndarray  # (n_texts, 3): whether an attack is one that a head learns
    windows: tuple[sp.csr_matrix, sp.csr_matrix]
    owners: tuple[np.ndarray, np.ndarray]
    n_real: int

    def known(self, without: set[str]) -> np.ndarray:
        """Which texts may be learnt from when some sources must not be known."""
        return np.array([not without.intersection(group) for group in self.groups])


def family_of(source: str) -> str:
    """A source, and the same contexts with an attack in them, are left out together."""
    return source.removesuffix("+attack")


def read(path: Path) -> Corpus:
    """The rows of the file first, then our own texts, then those that are made."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    texts = [row["text"] for row in rows]
    labels, sources = [row["label"] for row in rows], [row["source"] for row in rows]
    groups: list[tuple[str, ...]] = [(family_of(source),) for source in sources]
    kinds = ["attack" if "+attack" in source else "jailbreak" for source in sources]
    for text in own_texts(N_OWN):
        texts.append(text.text)
        labels.append(text.label)
        sources.append("own")
        groups.append(())
        kinds.append(text.family)
    made = _made(texts[: len(rows)], labels, sources)
    texts += [text for text, _ in made]
    groups += [group for _, group in made]
    labels += [1] * len(made)
    sources += ["made"] * len(made)
    kinds += ["made"] * len(made)
    plain = [normalise(text) for text in texts]
    y = np.array(labels)
    first, second = _windows(plain, contrast=False), _windows(plain, contrast=True)
    return Corpus(
        texts=texts,
        labels=y,
        sources=np.array(sources),
        groups=groups,
        heads=_heads(plain, y, kinds),
        windows=(first[0], second[0]),
        owners=(first[1], second[1]),
        n_real=len(rows),
    )


def _made(texts: list[str], labels: list[int], sources: list[str]) -> list[tuple[str, tuple[str, str]]]:
    rng = random.Random(1)
    harmless = [i for i, label in enumerate(labels[: len(texts)]) if label == 0]
    requests = [
        i for i in harmless
        if any(s in sources[i] for s in _REQUESTS) and len(texts[i]) < 160 and "\n" not in texts[i]
    ]  # fmt: skip
    hosts: dict[str, list[int]] = {}
    for i in harmless:
        if any(s in sources[i] for s in _HOSTS):
            hosts.setdefault(sources[i], []).append(i)
    made = []
    for _ in range(N_MADE):
        request, host = rng.choice(requests), rng.choice(hosts[rng.choice(sorted(hosts))])
        lines = texts[host].split("\n")
        at = rng.choice([0, len(lines), rng.randrange(len(lines) + 1)])
        text = "\n".join([*lines[:at], texts[request], *lines[at:]])
        made.append((text, (family_of(sources[request]), family_of(sources[host]))))
    return made


def _heads(texts: list[str], labels: np.ndarray, kinds: list[str]) -> np.ndarray:
    heads = np.zeros((len(texts), 3), bool)
    for i, (text, kind) in enumerate(zip(texts, kinds, strict=True)):
        if not labels[i]:
            continue
        own = kind not in ("attack", "jailbreak", "made")
        inside = kind in ("attack", "made")
        heads[i] = (
            own or kind == "jailbreak",
            inside or kind in _PLANTED,
            inside or (own and len(text) > 150),
        )
    return heads


def _windows(texts: list[str], *, contrast: bool) -> tuple[sp.csr_matrix, np.ndarray]:
    indices, values, ends, owners = [], [], [0], []
    for owner, text in enumerate(texts):
        words_found = words_of(text)
        features = features_of([words_found])
        order = np.argsort(features.word, kind="stable")
        words, index = features.word[order], features.hashed[order]
        bounds = sentences(words_found)
        windows = (bounds[:-1], bounds[1:]) if contrast else overlapping(features.n_words)
        for begin, end in zip(*np.searchsorted(words, windows), strict=True):
            found = index[begin:end]
            indices.append(found)
            values.append(np.full(len(found), 1 / np.sqrt(max(1, len(found))), np.float32))
            ends.append(ends[-1] + len(found))
            owners.append(owner)
    matrix = sp.csr_matrix(
        (np.concatenate(values), np.concatenate(indices), np.array(ends)), shape=(len(owners), N_FEATURES)
    )
    matrix.sum_duplicates()
    return matrix, np.array(owners)


def _learnt(
    matrix: sp.csr_matrix, owners: np.ndarray, labels: np.ndarray, weights: np.ndarray, *, contrast: bool
) -> tuple[np.ndarray, float]:
    """Weights and bias of a head; ``labels`` and ``weights`` are those of the texts in ``owners``."""
    _, starts, counts = np.unique(owners, return_index=True, return_counts=True)
    sign, weights = 2.0 * labels - 1, weights / weights.mean()
    transposed, n = matrix.T.tocsr(), len(labels)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        w, bias = parameters[:-1], parameters[-1]
        scores = (matrix @ w.astype(np.float32)).astype(np.float64)
        top = np.maximum.reduceat(scores, starts)
        raised = np.exp(SHARPNESS * (scores - np.repeat(top, counts)))
        total = np.add.reduceat(raised, starts)
        pooled = top + np.log(total) / SHARPNESS
        share = raised / np.repeat(total, counts)
        if contrast:
            pooled = pooled - np.add.reduceat(scores, starts) / counts
            share = share - np.repeat(1 / counts, counts)
        else:
            pooled = pooled - np.log(counts) / SHARPNESS
        margin = sign * (pooled + bias)
        slope = -sign / (1 + np.exp(np.minimum(margin, 500.0))) * weights
        gradient = transposed @ (share * np.repeat(slope, counts)).astype(np.float32) / n + DECAY / n * w
        value = (np.logaddexp(0, -margin) * weights).sum() / n + 0.5 * DECAY / n * (w @ w)
        return float(value), np.append(gradient, slope.sum() / n)

    # The contrast of equal scores has no slope: it begins a little off.
    begin = np.random.default_rng(0).normal(0, 1e-2 if contrast else 0.0, matrix.shape[1] + 1)
    begin[-1] = 0
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return found.x[:-1], float(found.x[-1])


def heads_without(corpus: Corpus, without: set[str]) -> InjectionClassifier:
    """The three heads, learnt without some sources; their levels say nothing yet."""
    known = corpus.known(without)
    weights, bias = [], []
    for number, head in enumerate(HEADS):
        contrast = head == "contrast"
        matrix, owners = corpus.windows[contrast], corpus.owners[contrast]
        taken = known & ((corpus.labels == 0) | corpus.heads[:, number])
        rows, ids = taken[owners], np.flatnonzero(taken)
        learnt = _learnt(
            matrix[rows], owners[rows], corpus.labels[ids], _weights(corpus, ids), contrast=contrast
        )
        weights.append(learnt[0])
        bias.append(learnt[1])
    return InjectionClassifier(
        table=table_of(weights),
        bias=np.array(bias),
        levels=np.linspace(0, 1, len(SHARES)),
        shares=SHARES,
    )


def _weights(corpus: Corpus, ids: np.ndarray) -> np.ndarray:
    weights, labels, sources = np.zeros(len(ids)), corpus.labels[ids], corpus.sources[ids]
    for source in set(sources):
        weights[sources == source] = (sources == source).sum() ** -0.5
    for label in (0, 1):
        weights[labels == label] /= weights[labels == label].sum()
    return weights


def fitted(corpus: Corpus, without: set[str], tell: Callable[[str], Any] = str) -> InjectionClassifier:
    """The classifier, learnt without some sources.

    Its levels are those of harmless texts of sources left out in turn, of what remains: nothing of what
    ``without`` names has any part in them.
    """
    sources = sorted({family_of(s) for s in corpus.sources[: corpus.n_real]} - without)
    margins: list[float] = []
    for number in range(N_INNER):
        inner = set(sources[number::N_INNER])
        heads = heads_without(corpus, without | inner)
        harmless = (i for i in range(corpus.n_real) if corpus.labels[i] == 0)
        held = [i for i in harmless if family_of(corpus.sources[i]) in inner]
        margins += [heads.margin(corpus.texts[i]) for i in held]
        tell(f"  inner fold {number + 1} of {N_INNER}")
    heads = heads_without(corpus, without)
    return replace(heads, levels=_levels(np.array(margins)))


def _levels(scores: np.ndarray) -> np.ndarray:
    scores = np.maximum(scores, scores[np.isfinite(scores)].min())  # a text without a word has no score
    return np.maximum.accumulate(np.quantile(scores, 1 - SHARES)) + np.arange(len(SHARES)) * 1e-9


def packed(classifier: InjectionClassifier) -> bytes:
    """The file of the weights: a byte each, and always the same bytes for the same weights."""
    weights = classifier.table[:, : len(HEADS)].T
    scale = np.abs(weights).max(axis=1)
    # By their roots, so that small weights, which are most, keep a difference.
    roots = np.sign(weights) * np.sqrt(np.abs(weights) / scale[:, None])
    file = io.BytesIO()
    np.savez_compressed(
        file,
        roots=np.round(127 * roots).astype(np.int8),
        scale=scale,
        bias=classifier.bias,
        levels=classifier.levels,
        shares=classifier.shares,
    )
    return file.getvalue()
