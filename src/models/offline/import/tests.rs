//! Files that are none, and files with one thing wrong. What good files say is compared with the libraries themselves in
//! `tests/import.rs`.

use super::*;

const FEATURES: [(&str, Unit); 2] = [("amount", Unit::Whole), ("rate", Unit::Micro)];

fn error(bytes: &[u8]) -> String {
    import(bytes, None, &FEATURES).unwrap_err().to_string()
}

/// A stump: below 5 of `amount` -1, else 1; missing goes right.
fn xgboost(names: &str, more: &str) -> String {
    format!(
        r#"{{"learner":{{"feature_names":[{names}],"gradient_booster":{{"name":"gbtree","model":{{"trees":[{{
        "left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],"split_conditions":[5,-1,1],
        "default_left":[0,0,0],"sum_hessian":[4,3,1]}}]}}}},"learner_model_param":{{"base_score":"5E-1","num_feature":"2"}},
        "objective":{{"name":"binary:logistic"}}{more}}}}}"#
    )
}

#[test]
fn a_stump_says_what_it_says_by_hand() {
    let text = xgboost(r#""amount","rate""#, "");
    let scorer = import(text.as_bytes(), None, &FEATURES).unwrap();
    // 1 / (1 + e) and 1 / (1 + 1/e).
    assert_eq!(scorer.score_micro(&[Some(4), None]), Some(268_941));
    assert_eq!(scorer.score_micro(&[Some(5), None]), Some(731_059));
    assert_eq!(scorer.score_micro(&[None, Some(1)]), Some(731_059));
    // The root says (3 * -1 + 1) / 4 = -0.5: python3 -c 'import math; print(1/(1+math.exp(0.5)))'
    assert_eq!(scorer.base_micro(), 377_541);
}

#[test]
fn columns_are_matched_by_name_and_differences_are_named() {
    let turned = xgboost(r#""rate","amount""#, "");
    let scorer = import(turned.as_bytes(), None, &FEATURES).unwrap();
    assert_eq!(scorer.score_micro(&[None, Some(4_999_999)]), Some(268_941));
    let unnamed = xgboost("", "");
    let told = error(unnamed.as_bytes());
    assert!(told.contains("`--columns") && told.contains("2 columns"), "{told}");
    let columns = ["rate".to_owned(), "amount".to_owned()];
    assert_eq!(import(unnamed.as_bytes(), Some(&columns), &FEATURES).unwrap(), scorer);
    let told = error(xgboost(r#""amount","rates""#, "").as_bytes());
    assert!(told.contains("also has `rates`") && told.contains("`amount`, `rate`"), "{told}");
    let told = error(xgboost(r#""amount""#, "").as_bytes());
    assert!(told.contains("does not know `rate`"), "{told}");
    let told = error(xgboost(r#""amount","rate","rate""#, "").as_bytes());
    assert!(told.contains("3 names for 2 columns"), "{told}");
}

#[test]
fn what_cannot_be_said_exactly_is_refused_with_what_to_do() {
    let text = xgboost(r#""amount","rate""#, "");
    let cases = [
        ("binary:logistic", "reg:squarederror", "objective `reg:squarederror`"),
        ("\"gbtree\"", "\"dart\"", "booster `dart`"),
        ("\"num_feature\"", "\"num_class\":\"3\",\"num_feature\"", "several classes"),
        ("\"sum_hessian\"", "\"split_type\":[1,0,0],\"sum_hessian\"", "categories"),
        ("\"5E-1\"", "\"1E0\"", "no share"),
        ("[1,-1,-1]", "[0,-1,-1]", "tree 0 is damaged"),
        ("[1,-1,-1]", "[7,-1,-1]", "tree 0 is damaged"),
        ("[5,-1,1]", "[5,-1]", "tree 0 is damaged"),
        ("[5,-1,1]", "[5,-1e9,1]", "tree 0 has a leaf"),
        ("[5,-1,1]", "[-1e30,-1,1]", "tree 0 splits `amount`"),
        ("\"split_indices\":[0", "\"split_indices\":[2", "tree 0 is damaged"),
    ];
    for (from, to, expected) in cases {
        assert!(text.contains(from), "{from}");
        let told = error(text.replace(from, to).as_bytes());
        assert!(told.contains(expected), "{to}: {told}");
    }
    let lightgbm = "tree\nobjective=binary sigmoid:1\nfeature_names=amount rate\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=4.5\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=-1 1\nleaf_weight=3 1\n\nend of trees\n";
    let scorer = import(lightgbm.as_bytes(), None, &FEATURES).unwrap();
    assert_eq!(scorer.score_micro(&[Some(5), None]), Some(731_059));
    // No missing value was seen in the training, so one counts as 0.
    assert_eq!(scorer.score_micro(&[None, Some(0)]), Some(268_941));
    let halved = lightgbm.replace("sigmoid:1", "sigmoid:0.5");
    let scorer = import(halved.as_bytes(), None, &FEATURES).unwrap();
    // python3 -c 'import math; print(1/(1+math.exp(-0.5)))'
    assert_eq!(scorer.score_micro(&[Some(5), None]), Some(622_459));
    let cases = [
        ("objective=binary", "objective=regression", "objective `regression`"),
        ("feature_names", "average_output\nfeature_names", "boosting=rf"),
        ("decision_type=2", "decision_type=6", "zero_as_missing"),
        ("decision_type=2", "decision_type=1", "categories"),
        ("num_cat=0", "num_cat=1", "categories"),
        ("num_leaves=2", "is_linear=1", "linear trees"),
        ("right_child=-2", "right_child=-9", "tree 0 is damaged"),
        ("right_child=-2", "right_child=0", "tree 0 is damaged"),
        ("leaf_value=-1 1", "leaf_value=-1 x", "tree 0 is damaged"),
        ("feature_names", "num_class=3\nfeature_names", "several classes"),
    ];
    for (from, to, expected) in cases {
        assert!(lightgbm.contains(from), "{from}");
        let told = error(lightgbm.replace(from, to).as_bytes());
        assert!(told.contains(expected), "{to}: {told}");
    }
}

#[test]
fn what_is_no_model_is_told_so() {
    for bytes in [&b""[..], b"value,expires\n", b"{\"a\":1}", b"\x08\x01", &[0xff; 40]] {
        let told = error(bytes);
        assert!(told.contains("no model of") || told.contains("no good ONNX file"), "{told}");
    }
    let told = error(b"{\"learner\":");
    assert!(told.contains("no good JSON file"), "{told}");
    let deep = format!("{{\"tree_info\":{}", "[".repeat(100_000));
    assert!(error(deep.as_bytes()).contains("no good JSON file"));
}
