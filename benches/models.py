#!/usr/bin/env python3
"""The other side of `cargo bench --bench models`: what river and scikit-learn take for the same rows.

    python3 benches/models.py ROWS.csv LEARNED

ROWS.csv has a row a line, its last column 1 for fraud; so many of the first rows are learned, the others measured. Prints
`what it is compared with | name | ns per event | bytes`. One thread; the fastest of several rounds.
"""

import csv
import pickle
import sys
import time

import numpy
from river import anomaly, preprocessing
from sklearn.ensemble import IsolationForest, RandomForestClassifier


def fastest(rounds, n, call):
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best / n * 1e9


def line(beside, name, ns, model):
    print(f"{beside} | {name} | {ns:.0f} | {len(pickle.dumps(model))}")


def main():
    path, n_learned = sys.argv[1], int(sys.argv[2])
    with open(path) as file:
        table = numpy.array([[float(cell) for cell in row] for row in csv.reader(file)])
    rows, frauds = table[:, :-1], table[:, -1].astype(int)
    learned, asked = rows[:n_learned], rows[n_learned:]

    # Half-space trees want values between 0 and 1. river takes an event as a dictionary.
    model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=7)
    events = [dict(enumerate(row)) for row in rows.tolist()]
    for event in events[:n_learned]:
        model.learn_one(event)

    def stream():
        for event in events[n_learned : n_learned + 1000]:
            model.score_one(event)
            model.learn_one(event)

    beside = "tail sum, scored and learned"
    line(beside, "river half-space trees (25), scored and learned", fastest(5, 1000, stream), model)

    beside = "isolation forest, scored and learned"
    model = IsolationForest(n_estimators=100, random_state=7, n_jobs=1).fit(learned)
    one = lambda: [model.score_samples(asked[at : at + 1]) for at in range(100)]
    line(beside, "scikit-learn isolation forest, one by one", fastest(3, 100, one), model)
    batch = lambda: model.score_samples(asked)
    line(beside, f"scikit-learn isolation forest, {len(asked)} at once", fastest(3, len(asked), batch), model)

    model = RandomForestClassifier(
        n_estimators=100, max_depth=20, min_samples_leaf=3, random_state=7, n_jobs=1
    ).fit(learned, frauds[:n_learned])
    beside = "100 trees, scored"
    one = lambda: [model.predict_proba(asked[at : at + 1]) for at in range(100)]
    line(beside, "scikit-learn 100 trees, one by one", fastest(3, 100, one), model)
    batch = lambda: model.predict_proba(asked)
    line(beside, f"scikit-learn 100 trees, {len(asked)} at once", fastest(5, len(asked), batch), model)


main()
