#!/usr/bin/env python3
"""How well the scores of a model rank, by the protocol of the Fraud Detection Handbook.

    riskweir backtest --rules examples/cards-2018-feedback --input cards.csv --out OUT --decisions all
    python3 benches/scores.py OUT/decisions.ndjson cards.csv 2018-08-15 4

Reads the raw score of the first model of each decision, and labels from the plain CSV. For each of the last weeks before the
day that is given (four without a number): cards that were known to be defrauded leave the week, known from the 7 days that
begin 14 days before it and, day by day, after a delay of 7 days. Prints AUC ROC, average precision, card precision @100, and
how many of each kind of fraud lie among the 0.5 % with the largest scores. Needs nothing but Python.
"""

import csv
import datetime
import json
import sys
from collections import defaultdict


def day(text, plus=0):
    return (datetime.date.fromisoformat(text) + datetime.timedelta(plus)).isoformat()


def ranks(rows):
    """AUC and average precision; equal scores are one step."""
    rows = sorted(rows, key=lambda row: -row[0])
    n_fraud = sum(fraud for _, fraud, _ in rows)
    n_genuine = len(rows) - n_fraud
    seen_fraud = seen_genuine = 0
    pairs = precision = 0.0
    at = 0
    while at < len(rows):
        end = at
        fraud = 0
        while end < len(rows) and rows[end][0] == rows[at][0]:
            fraud += rows[end][1]
            end += 1
        genuine = end - at - fraud
        pairs += genuine * (seen_fraud + fraud / 2)
        seen_fraud += fraud
        seen_genuine += genuine
        precision += fraud * seen_fraud / (seen_fraud + seen_genuine)
        at = end
    return pairs / (n_fraud * n_genuine), precision / n_fraud


def week(payments, scores, first):
    known = {card for plus in range(7) for _, card, fraud, _ in payments[day(first, plus - 14)] if fraud}
    rows, of_hundred = [], []
    for plus in range(7):
        if plus:
            known |= {card for _, card, fraud, _ in payments[day(first, plus - 8)] if fraud}
        cards = {}
        for event, card, fraud, kind in payments[day(first, plus)]:
            if card in known:
                continue
            score = scores.get(event, 0)
            rows.append((score, fraud, kind))
            best, any_fraud = cards.get(card, (score, 0))
            cards[card] = (max(best, score), any_fraud | fraud)
        top = sorted(cards.values(), key=lambda it: -it[0])[:100]
        of_hundred.append(sum(fraud for _, fraud in top) / 100)
    auc, precision = ranks(rows)
    n_top = len(rows) // 200
    top = sorted(rows, key=lambda row: -row[0])[:n_top]
    kinds = sorted({kind for _, fraud, kind in rows if fraud})
    count = lambda some, kind: sum(1 for _, _, it in some if it == kind)
    found = {kind: round(count(top, kind) / count(rows, kind), 3) for kind in kinds}
    return len(rows), sum(row[1] for row in rows), auc, precision, sum(of_hundred) / 7, found


def main():
    decisions, table, until = sys.argv[1:4]
    n_weeks = int(sys.argv[4]) if len(sys.argv) > 4 else 4
    scores = {}
    with open(decisions) as lines:
        for line in lines:
            decision = json.loads(line)
            for model in decision.get("models", [])[:1]:
                scores[decision["event"]["id"]] = model.get("raw_micro", 0)
    payments = defaultdict(list)
    with open(table) as rows:
        for row in csv.DictReader(rows):
            fraud = int(row["fraud"])
            it = (row["transaction_id"], row["customer_id"], fraud, row["fraud_scenario"])
            payments[row["occurred_at"][:10]].append(it)
    means = []
    for back in range(1, n_weeks + 1):
        first = day(until, -7 * back)
        n, frauds, auc, precision, cards, found = week(payments, scores, first)
        means.append((auc, precision, cards))
        print(f"{first}: {n} payments, {frauds} frauds, AUC {auc:.3f}, AP {precision:.3f}, CP@100 {cards:.3f}, {found}")
    mean = [sum(column) / len(means) for column in zip(*means)]
    print("mean: AUC {:.3f}, AP {:.3f}, CP@100 {:.3f}".format(*mean))


main()
