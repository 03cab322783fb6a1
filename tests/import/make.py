"""Writes the fixtures of `tests/import.rs`: models of other libraries, and what those libraries say of some rows.

    python3 -m venv venv && venv/bin/pip install xgboost lightgbm scikit-learn skl2onnx onnxruntime
    venv/bin/python tests/import/make.py

Rows are in the units of `riskweir train --dataset`: amounts in major units, durations in seconds. Every fixture is
`NAME` with `NAME.expected.json`: the rows, and the library's own predictions.
"""

import json
import pathlib

import lightgbm
import numpy as np
import onnxruntime
import xgboost
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)

HERE = pathlib.Path(__file__).parent
NAMES = ["amount", "fresh", "items", "rate"]


def rows(seed, n):
    """Amounts in euros with cents, truths, counts, rates to six decimals; label depends on all."""
    dice = np.random.default_rng(seed)
    amount = np.round(np.exp(dice.normal(3.5, 1.4, n)), 2)
    fresh = dice.integers(0, 2, n).astype(float)
    items = dice.integers(0, 9, n).astype(float)
    rate = np.round(dice.normal(0.2, 1.1, n), 6)
    x = np.column_stack([amount, fresh, items, rate])
    odds = 0.004 * amount + 0.9 * fresh - 0.2 * items + rate - 1.2
    y = (dice.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    return x, y


def with_gaps(x, seed):
    dice = np.random.default_rng(seed)
    x = x.copy()
    x[dice.random(x.shape) < 0.15] = np.nan
    return x


def at_thresholds(x, thresholds, seed):
    """Rows whose values lie exactly on cuts of the trees, as far as the unit of the feature can say them."""
    dice = np.random.default_rng(seed)
    digits = [2, 0, 0, 6]
    x = x.copy()
    for row in x:
        for at in range(len(NAMES)):
            if thresholds[at] and dice.random() < 0.6:
                row[at] = np.round(dice.choice(thresholds[at]), digits[at])
    return x


def write(name, x, predicted):
    row = lambda values: [None if np.isnan(value) else float(value) for value in values]
    out = {"rows": [row(values) for values in x], "predicted": [float(p) for p in predicted]}
    (HERE / f"{name}.expected.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


def xgboost_cuts(model):
    cuts = [[] for _ in NAMES]
    frame = model.get_booster().trees_to_dataframe()
    for feature, split in zip(frame["Feature"], frame["Split"]):
        if feature != "Leaf":
            cuts[NAMES.index(feature)].append(split)
    return cuts


def xgboost_models(x, y, test):
    common = dict(n_estimators=12, max_depth=4, learning_rate=0.3, random_state=7)
    frame = lambda values: xgboost.DMatrix(values, feature_names=NAMES)
    classifier = xgboost.XGBClassifier(**common)
    import pandas

    classifier.fit(pandas.DataFrame(x, columns=NAMES), y)
    test = at_thresholds(test, xgboost_cuts(classifier), 3)
    classifier.save_model(HERE / "xgboost.json")
    write("xgboost.json", test, classifier.get_booster().predict(frame(test)))
    regressor = xgboost.XGBRegressor(**common, objective="reg:squarederror")
    regressor.fit(pandas.DataFrame(x, columns=NAMES), y)
    regressor.save_model(HERE / "xgboost-refused.json")


def lightgbm_models(x, y, test):
    data = lightgbm.Dataset(x, y, feature_name=NAMES)
    common = dict(objective="binary", num_leaves=12, learning_rate=0.2, verbose=-1, seed=7)
    booster = lightgbm.train(common, data, num_boost_round=12)
    dump = booster.dump_model()
    cuts = [[] for _ in NAMES]

    def walk(node):
        if "split_feature" in node:
            cuts[node["split_feature"]].append(node["threshold"])
            walk(node["left_child"]), walk(node["right_child"])

    for tree in dump["tree_info"]:
        walk(tree["tree_structure"])
    test = at_thresholds(test, cuts, 4)
    (HERE / "lightgbm.txt").write_text(booster.model_to_string())
    write("lightgbm.txt", test, booster.predict(test))
    (HERE / "lightgbm.json").write_text(json.dumps(dump, separators=(",", ":")))
    write("lightgbm.json", test, booster.predict(test))
    zeros = lightgbm.train({**common, "zero_as_missing": True}, lightgbm.Dataset(x, y, feature_name=NAMES), 3)
    (HERE / "lightgbm-refused.txt").write_text(zeros.model_to_string())


def onnx_models(x, y, test):
    full = np.nan_to_num(x, nan=0.0)
    test = np.nan_to_num(test, nan=0.0)
    models = {
        "forest-regressor": RandomForestRegressor(n_estimators=8, max_depth=5, random_state=7),
        "extra-regressor": ExtraTreesRegressor(n_estimators=8, max_depth=5, random_state=7),
        "forest-classifier": RandomForestClassifier(n_estimators=8, max_depth=5, random_state=7),
        "boosted-classifier": GradientBoostingClassifier(n_estimators=12, max_depth=3, random_state=7),
    }
    for name, model in models.items():
        model.fit(full, y)
        options = {id(model): {"zipmap": False}} if "classifier" in name else None
        inputs = [("rows", FloatTensorType([None, len(NAMES)]))]
        onnx = convert_sklearn(model, initial_types=inputs, options=options)
        (HERE / f"{name}.onnx").write_bytes(onnx.SerializeToString())
        session = onnxruntime.InferenceSession(onnx.SerializeToString())
        out = session.run(None, {"rows": test.astype(np.float32)})
        shares = out[1][:, 1] if "classifier" in name else out[0][:, 0]
        write(f"{name}.onnx", test, shares)


def main():
    x, y = rows(1, 2_000)
    test, _ = rows(2, 80)
    xgboost_models(with_gaps(x, 5), y, with_gaps(test, 6))
    lightgbm_models(with_gaps(x, 5), y, with_gaps(test, 6))
    onnx_models(x, y, test)


if __name__ == "__main__":
    main()
