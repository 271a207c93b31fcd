"""How many attacks of sources that were never seen the injection classifier finds, and what that costs.

Each source in turn is left out, and with it the same contexts with an attack in them. All else is learnt from
what remains: the weights, and the levels, for which sources are left out again. Beside it, TF-IDF of words
and pairs of words with logistic regression, learnt from the same rows and without our own texts.

``guard`` is the classifier with the rules beside it, as the gateway runs them. Two numbers of each: recall
where exactly 1 % of the harmless texts of unseen sources fire, and what a threshold that was chosen
beforehand on the other sources does. ``macro`` is the mean of the sources that hold attacks, ``pooled`` that
of all their texts; intervals are of 1,000 bootstrap draws within sources, and so say nothing about sources
that differ from these.

    python benchmarks/injection.py                     # about 15 minutes on one core
    python benchmarks/injection.py --write             # learn from everything, write the weights
    python benchmarks/injection.py --data FILE --json

The file holds one JSON object a line: text, label (1: an attack), source.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _injection import SHARES, Corpus, family_of, fitted, packed, read

from headrace.gateway.guardrails import classifier
from headrace.gateway.guardrails.classifier import shipped, unpacked, weights_file
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.injection import Injection

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "injection-train.jsonl"
LEVEL, DRAWS, CERTAIN = 0.01, 1000, 1000.0
OVER_DEFENCE = Path(__file__).with_name("_harmless.yaml")


def tell(line: str) -> None:
    """Progress, where nobody reads the result from."""
    print(line, file=sys.stderr, flush=True)


def unseen(corpus: Corpus) -> dict[str, np.ndarray]:
    """Scores of every row by what never saw its source, and the cuts by which 1 % was to fire."""
    n = corpus.n_real
    families = np.array([family_of(source) for source in corpus.sources[:n]])
    ours, theirs, cut, beforehand = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    for family in sorted(set(families)):
        began, rows = time.monotonic(), np.flatnonzero(families == family)
        fit = unpacked(packed(fitted(corpus, {family})))
        ours[rows] = [fit.margin(corpus.texts[i]) for i in rows]
        beforehand[rows] = np.interp(1 - LEVEL, 1 - SHARES, fit.levels)
        theirs[rows], cut[rows] = baseline(corpus, families, family)
        tell(f"{family}: {time.monotonic() - began:.0f} s")
    # The guard's rules fire whatever the score; they are the same in every fold, and learn nothing.
    guard = np.where(by_rule(corpus.texts[:n]), CERTAIN, ours)
    return {
        "guard": guard,
        "classifier": ours,
        "baseline": theirs,
        "guard_cut": beforehand,
        "classifier_cut": beforehand,
        "baseline_cut": cut,
    }


def by_rule(texts: list[str]) -> np.ndarray:
    """Whether the guard's rules for orders in the usual words fire."""

    class Silent:
        def score(self, text: str) -> float:  # noqa: ARG002 - its signature
            return 0.0

    guard, context = Injection(forged="pass", scorer=Silent()), Context(layer="input")
    return np.array([bool(guard.check(text, context)) for text in texts])


def baseline(corpus: Corpus, families: np.ndarray, family: str) -> tuple[np.ndarray, float]:
    """The baseline's scores of a family, and the threshold that other families gave it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    def scored(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = LogisticRegression(max_iter=300)
        model.fit(words.fit_transform([corpus.texts[i] for i in train]), corpus.labels[train])
        return model.predict_proba(words.transform([corpus.texts[i] for i in test]))[:, 1]

    rest = np.flatnonzero(families != family)
    known = sorted(set(families[rest]))
    inner = []
    for number in range(4):
        out = np.isin(families[rest], known[number::4])
        test = rest[out & (corpus.labels[rest] == 0)]
        inner.append(scored(rest[~out], test))
    level = float(np.quantile(np.concatenate(inner), 1 - LEVEL, method="higher"))
    return scored(rest, np.flatnonzero(families == family)), level


def recall(scores: np.ndarray, labels: np.ndarray, sources: np.ndarray, cut: Any = None) -> dict[str, float]:
    """Macro and pooled recall and the share of harmless texts that fire; by default at the level itself."""
    if cut is None:
        cut = np.quantile(scores[labels == 0], 1 - LEVEL, method="higher")
    fires = scores > cut
    by_source = [fires[sources == s].mean() for s in sorted(set(sources[labels == 1]))]
    return {
        "macro": float(np.mean(by_source)),
        "pooled": float(fires[labels == 1].mean()),
        "false_positives": float(fires[labels == 0].mean()),
    }


def interval(scores: np.ndarray, labels: np.ndarray, sources: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % of bootstrap draws of the rows of each source; the cut is taken anew in each."""
    rng, drawn = np.random.default_rng(0), []
    places = [np.flatnonzero(sources == source) for source in sorted(set(sources))]
    for _ in range(DRAWS):
        rows = np.concatenate([rng.choice(place, len(place)) for place in places])
        drawn.append(recall(scores[rows], labels[rows], sources[rows]))
    return {
        name: tuple(np.quantile([one[name] for one in drawn], (0.025, 0.975)).round(3).tolist())
        for name in ("macro", "pooled")
    }


def quality(corpus: Corpus) -> dict[str, Any]:
    """All that is said about sources that were not seen."""
    n = corpus.n_real
    labels, sources, scores = corpus.labels[:n], corpus.sources[:n], unseen(corpus)
    result: dict[str, Any] = {}
    for name in ("guard", "classifier", "baseline"):
        mine = scores[name]
        exact = np.quantile(mine[labels == 0], 1 - LEVEL, method="higher")
        result[name] = {
            "at_1_percent": recall(mine, labels, sources),
            "interval": interval(mine, labels, sources),
            "chosen_beforehand": recall(mine, labels, sources, scores[f"{name}_cut"]),
            "fires_at_1_percent": {
                s: float((mine[sources == s] > exact).mean()) for s in sorted(set(sources))
            },
        }
    return result


def cost(texts: list[str]) -> dict[str, float]:
    """Milliseconds a text on one core, and bytes of the file."""
    model, took = shipped(), []
    for text in texts:
        began = time.process_time()
        model.score(text)
        took.append(1000 * (time.process_time() - began))
    return {
        "ms_median": float(np.median(took)),
        "ms_p95": float(np.quantile(took, 0.95)),
        "characters_median": float(np.median([len(text) for text in texts])),
        "bytes": len(weights_file()),
    }


def over_defence() -> dict[str, Any]:
    """How many harmless texts with an attack's words fire; none of them was learnt from."""
    import yaml

    texts = yaml.safe_load(OVER_DEFENCE.read_text(encoding="utf-8"))
    fired = [text for text in texts if shipped().score(text) >= 1 - LEVEL]
    return {"texts": len(texts), "fired": len(fired), "which": fired}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(f"There is no {options.data}. Name a file with --data; its form is in --help.")
    corpus = read(options.data)
    tell(f"{corpus.n_real:,} rows, {len(corpus.texts) - corpus.n_real:,} texts beside them")
    if options.write:
        data = packed(fitted(corpus, set(), tell))
        Path(classifier.__file__).with_name("injection.npz").write_bytes(data)
        print(f"{len(data):,} bytes written")
        return
    result = quality(corpus) | {"cost": cost(corpus.texts[: corpus.n_real]), "over_defence": over_defence()}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name in ("guard", "classifier", "baseline"):
        one = result[name]
        exact, before, spread = one["at_1_percent"], one["chosen_beforehand"], one["interval"]
        print(
            f"{name:<10} recall at 1 % false positives: macro {exact['macro']:.3f} {spread['macro']}, "
            f"pooled {exact['pooled']:.3f} {spread['pooled']}\n"
            f"{'':<10} with the threshold of the other sources: macro {before['macro']:.3f}, "
            f"pooled {before['pooled']:.3f}, false positives {before['false_positives']:.4f}"
        )
        for source, share in one["fires_at_1_percent"].items():
            print(f"{'':<10}   {source:<42} {share:.3f}")
    spent, over = result["cost"], result["over_defence"]
    print(
        f"cost      median {spent['ms_median']:.2f} ms, p95 {spent['ms_p95']:.2f} ms a text "
        f"(median {spent['characters_median']:,.0f} characters); {spent['bytes']:,.0f} bytes of weights"
    )
    print(f"harmless texts with an attack's words: {over['fired']} of {over['texts']} fire")


if __name__ == "__main__":
    main()
