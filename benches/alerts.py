#!/usr/bin/env python3
"""What an alert is worth at a fixed alert rate: rules alone, each model alone, and both.

    riskweir backtest --rules DIR --input EVENTS --out OUT --decisions all
    python3 benches/alerts.py OUT/decisions.ndjson LABELS TYPE [FROM UNTIL]

DIR holds the rules and one more in shadow that asks every model about every event (`model.NAME.raw >= -1`), so that decisions tell
all scores. LABELS is the CSV of cards-2018 or what `riskweir generate --labels` wrote. Of the events of one TYPE, between two
days if given, so many are alerted as the rate says: those that the rules stop first, then by points, then (with models) by the
largest place among the scores. Events with the same rank count by their share. Prints precision, and the share of all frauds.
Needs nothing but Python.
"""

import csv
import json
import sys

STOPS = {"block": 3, "hold": 2, "step_up": 1}
RATES = (0.005, 0.01, 0.02, 0.03)


def frauds(path):
    with open(path) as lines:
        if path.endswith(".csv"):
            return {row["transaction_id"] for row in csv.DictReader(lines) if row["fraud"] == "1"}
        return {label["event_id"] for label in map(json.loads, lines)}


def events(path, kind, since, until, fraud):
    """Of each judged event: what the rules said, the place of each model, and whether it is fraud."""
    with open(path) as lines:
        for line in lines:
            decision = json.loads(line)
            event = decision["event"]
            if event["type"] != kind or decision["duplicate"] or not since <= event["time"] < until:
                continue
            acts = any("alert" in it["actions"] for it in decision.get("contributions", []))
            rules = (STOPS.get(decision["outcome"], 0), acts, decision["score"])
            places = {
                model["model"]: (model.get("percentile_ppm", 0), model.get("raw_micro", 0))
                for model in decision.get("models", [])
            }
            yield rules, places, event["id"] in fraud


def at_rate(ranked, n):
    """Frauds among the first n; of those that tie for the last places, their share."""
    ranked = sorted(ranked, key=lambda it: it[0], reverse=True)
    edge = ranked[n - 1][0]
    above = [is_fraud for rank, is_fraud in ranked if rank > edge]
    tied = [is_fraud for rank, is_fraud in ranked if rank == edge]
    return sum(above) + sum(tied) * (n - len(above)) / len(tied)


def main():
    path, labels, kind = sys.argv[1:4]
    since, until = sys.argv[4:6] if len(sys.argv) > 5 else ("", "9")
    judged = list(events(path, kind, since, until, frauds(labels)))
    n_fraud = sum(is_fraud for _, _, is_fraud in judged)
    hit = [is_fraud for rules, _, is_fraud in judged if any(rules)]
    print(f"{len(judged)} events, {n_fraud} frauds; rules say something of {len(hit)}, {sum(hit)} of them fraud")
    none = (0, 0)
    ways = {"rules alone": lambda rules, places: rules}
    for name in sorted({name for _, places, _ in judged for name in places}):
        ways[f"{name} alone"] = lambda rules, places, name=name: places.get(name, none)
        ways[f"rules, then {name}"] = lambda rules, places, name=name: (rules, places.get(name, none))
    for rate in RATES:
        n = round(len(judged) * rate)
        for way, rank in ways.items():
            found = at_rate([(rank(rules, places), is_fraud) for rules, places, is_fraud in judged], n)
            print(f"{rate:.2%} {way:32} precision {found / n:6.1%}  frauds found {found / n_fraud:6.1%}")


main()
