//! What a correct rule set becomes.

use super::*;
use crate::base::Currency;
use crate::rules::program::{
    ActionPlan, Constant, Expectation, Message, MessagePart, NodeId, WantedAction,
};
use crate::rules::syntax::ast::CompareOp;

fn eur() -> Currency {
    Currency::parse("EUR").expect("a currency")
}

#[test]
fn equal_expressions_of_two_rules_are_one_node() {
    let program = program(
        "rule a mode shadow on login when user_id = \"x\" and device = \"d\" then alert
         rule b mode shadow on login when device = \"d\" then alert",
    );
    let login = program.schema.event_named("login").expect("declared");
    let plan = &program.plans[usize::from(login.0)];
    // user_id, "x", =, device, "d", =, and.
    assert_eq!(plan.nodes.len(), 7);
    assert_eq!(plan.rules.len(), 2);
}

#[test]
fn an_aggregate_becomes_one_measure_of_one_table() {
    let program = rule("card_payment", "when count(card_payment) by card over last 10m > 5");
    assert_eq!(program.tables.len(), 1);
    let table = &program.tables[0];
    assert_eq!(table.name, "card_payment by card");
    assert_eq!(table.identities, ["count(card_payment) by card over last 10m"]);
    assert!(table.columns.is_empty() && table.filters.is_empty());
    let measure = table.spec.measures[0];
    assert_eq!(measure.kind, MeasureKind::Count);
    assert_eq!((measure.window.length_ms, measure.window.ending_ago_ms), (600_000, 0));
    assert_eq!((measure.counting, measure.filter), (Counting::Last, None));
    let (plan, op) = when(&program);
    let Op::Compare(CompareOp::Gt, left, right) = op else { panic!("{op:?}") };
    assert!(matches!(plan.nodes[left.0 as usize].op, Op::Reading(..)));
    assert_eq!(plan.nodes[right.0 as usize].op, Op::Constant(Constant::Int(5)));
    assert!(plan.lookups[0].same_event);
}

#[test]
fn aggregates_of_one_event_and_key_share_a_table_and_its_filters() {
    let program = rule(
        "card_payment",
        "when count(card_payment where status = declined) by card over last 10m > 5
          and sum(card_payment.amount in EUR where status = declined) by card over last 1h > 5 EUR
          and sum(card_payment.n_items where status = declined) by card over last 1h > 5
         if missing skip",
    );
    assert_eq!(program.tables.len(), 1);
    let table = &program.tables[0];
    assert_eq!(table.spec.columns, [ColumnKind::Int, ColumnKind::Int]);
    // `status = declined` alone, and together with "the amount in EUR is there" and "it is there, but not in EUR".
    assert_eq!(table.filters.len(), 3);
    let measures = table.spec.measures.iter();
    let measures: Vec<_> =
        measures.map(|m| (m.kind, m.window.length_ms, m.filter.map(|bit| bit.0))).collect();
    let (ten_minutes, hour) = (600_000, 3_600_000);
    let expected = [
        (MeasureKind::Count, hour, Some(0)),
        (MeasureKind::Count, ten_minutes, Some(2)),
        (MeasureKind::Sum(ColumnId(0)), hour, Some(1)),
        (MeasureKind::Sum(ColumnId(1)), hour, Some(2)),
    ];
    assert_eq!(measures, expected);
}

#[test]
fn more_filters_than_a_table_has_bits_open_a_second_table() {
    let mut rules = String::new();
    for n in 0..65 {
        let condition = format!("count(card_payment where n_items = {n}) by card over last 1h > 1");
        let rule = format!("rule r{n} mode shadow on card_payment when {condition} then alert\n");
        rules.push_str(&rule);
    }
    let program = program(&rules);
    let shapes: Vec<_> = program
        .tables
        .iter()
        .map(|t| (t.name.as_str(), t.filters.len(), t.spec.measures.len()))
        .collect();
    assert_eq!(shapes, [("card_payment by card", 64, 64), ("card_payment by card #2", 1, 1)]);
    assert_eq!(program.plans[0].lookups.len(), 2);
}

#[test]
fn texts_of_different_case_are_different_filters() {
    let program = rule(
        "card_payment",
        "when count(card_payment where lower(note) = \"a\") by card over last 1h > 1
          and count(card_payment where lower(note) = \"A\") by card over last 1h > 1
          and count(card_payment where length(note default \"a\") = 1) by card over last 1h > 1
          and count(card_payment where length(note default \"A\") = 1) by card over last 1h > 1",
    );
    assert_eq!(program.tables[0].filters.len(), 4);
}

#[test]
fn the_identity_of_state_does_not_depend_on_names_order_or_files() {
    let one = program(
        "rule a mode shadow on card_payment when count(card_payment where status = declined and risk > 0.5) by card over last 10m > 5 then alert
         rule b mode shadow on card_payment when count(card_payment) by device over last 10m > 5 if missing skip then alert",
    );
    let two = program(
        "rule x mode shadow on card_payment when count(card_payment) by device over last 10m > 9 if missing skip then alert
         rule y mode shadow on card_payment when 7 < count(card_payment where risk > 0.5 and status = declined) by card over last 600s then alert",
    );
    let state = |program: &Program| {
        let tables = program.tables.iter();
        tables.map(|t| (t.name.clone(), t.spec.clone(), t.identities.clone())).collect::<Vec<_>>()
    };
    assert_eq!(state(&one), state(&two));
    assert_eq!(
        one.tables[0].identities,
        ["count(card_payment where ((risk > 0.5) and (status = declined))) by card over last 10m"]
    );
}

#[test]
fn money_is_converted_to_the_currency_of_the_other_side() {
    let program = rule("card_payment", "when amount > 500 USD if missing skip");
    let (plan, op) = when(&program);
    let Op::Compare(_, left, right) = op else { panic!("{op:?}") };
    let usd = Currency::parse("USD").expect("a currency");
    assert_eq!(plan.nodes[left.0 as usize].ty, Type::Money(usd));
    let fifty_thousand_cents = Constant::Money(50_000 * 1_000_000);
    assert_eq!(plan.nodes[right.0 as usize].op, Op::Constant(fifty_thousand_cents));
}

#[test]
fn a_bound_of_average_and_deviations_is_compared_in_integers() {
    for bound in [
        "avg(transfer.amount) by sender over last 24h + 2.5 * stddev(transfer.amount) by sender over last 24h",
        "stddev(transfer.amount) by sender over last 24h * 2.5 + avg(transfer.amount) by sender over last 24h",
    ] {
        for (text, expected) in [
            (format!("amount > {bound}"), CompareOp::Gt),
            (format!("{bound} >= amount"), CompareOp::Le),
        ] {
            let program = rule("transfer", &format!("when {text}"));
            let (plan, op) = when(&program);
            let Op::CompareDeviation { op, factor_micro, value, .. } = op else { panic!("{op:?}") };
            assert_eq!((*op, *factor_micro), (expected, 2_500_000));
            assert_eq!(plan.nodes[value.0 as usize].ty, Type::Money(eur()));
            assert_eq!(program.tables[0].spec.measures.len(), 3);
            assert_eq!(program.tables[0].spec.columns, [ColumnKind::Int]);
        }
    }
}

#[test]
fn lets_are_seen_through_when_a_deviation_is_compared() {
    let program = rule(
        "transfer",
        "let usual = avg(transfer.amount) by sender over last 24h
         let spread = stddev(transfer.amount) by sender over last 24h
         let bound = usual - spread
         when amount < bound",
    );
    let (_, op) = when(&program);
    assert!(matches!(op, Op::CompareDeviation { factor_micro: -1_000_000, .. }), "{op:?}");
}

#[test]
fn averages_over_different_windows_are_compared_as_they_are() {
    let program = rule(
        "transfer",
        "when amount > avg(transfer.amount) by sender over last 1h + stddev(transfer.amount) by sender over last 2h",
    );
    let (_, op) = when(&program);
    assert!(matches!(op, Op::Compare(..)), "{op:?}");
}

#[test]
fn an_optional_column_has_a_filter_that_asks_for_it() {
    let program =
        rule("card_payment", "when distinct(card_payment.device) by card over last 1h > 2");
    let table = &program.tables[0];
    assert_eq!(table.spec.columns, [ColumnKind::Word]);
    assert_eq!(
        table.identities,
        ["distinct(card_payment.device where not device is missing) by card over last 1h"]
    );
    let plan = &program.plans[0];
    let Op::Not(inner) = plan.nodes[table.filters[0].0 as usize].op else { panic!() };
    assert!(matches!(plan.nodes[inner.0 as usize].op, Op::IsMissing(_)));
}

#[test]
fn keys_may_be_mapped_and_entities_have_one_name_everywhere() {
    let program = rule(
        "transfer",
        "when sum(transfer.amount) by receiver = this.sender over prior 24h > 5 EUR
          and count(login) by customer over prior 1h > 2",
    );
    assert_eq!(program.tables.len(), 2);
    let (plan, _) = when(&program);
    let slot = |event: &str, field: &str| {
        let event = program.schema.event(program.schema.event_named(event).expect("declared"));
        event.field(event.field_named(field).expect("declared")).slot
    };
    let login = program.tables.iter().position(|t| t.name == "login by user_id").expect("a table");
    assert_eq!(program.tables[login].keys, [slot("login", "user_id")]);
    let lookup = plan.lookups.iter().find(|l| usize::from(l.table.0) == login).expect("a look-up");
    assert_eq!(lookup.keys, [slot("transfer", "customer_no")]);
    assert!(!lookup.same_event);
    let other = plan.lookups.iter().find(|l| usize::from(l.table.0) != login).expect("a look-up");
    assert_eq!(other.keys, [slot("transfer", "sender")]);
}

#[test]
fn is_new_looks_for_this_events_value() {
    let program = rule("transfer", "when is_new(transfer.receiver) by sender over prior 365d");
    let (plan, op) = when(&program);
    let Op::IsZero(reading) = op else { panic!("{op:?}") };
    assert_eq!(
        plan.nodes[reading.0 as usize].op,
        Op::Reading(crate::rules::program::LookupId(0), 0)
    );
    let probe = plan.lookups[0].probes[0].expect("a probe");
    assert!(matches!(plan.nodes[probe.0 as usize].op, Op::Field(_)));
    assert!(probe < *reading);
}

#[test]
fn the_other_primitives_of_aggregates() {
    let text = |condition: &str| {
        let program = rule("card_payment", condition);
        let (_, op) = when(&program);
        let name = format!("{op:?}");
        (name, program.tables[0].identities.clone())
    };
    let (_, identities) = text(
        "when time_since(card_payment where status = declined) by card over prior 1d < 5m if missing skip",
    );
    assert_eq!(
        identities,
        ["last_time(card_payment where (status = declined)) by card over prior 1d"]
    );
    let (_, identities) = text(
        "when share(card_payment where status = declined) by card over last 1d > 20% if missing skip",
    );
    assert_eq!(
        identities,
        [
            "count(card_payment where (status = declined)) by card over last 1d",
            "count(card_payment) by card over last 1d"
        ]
    );
    let (_, identities) = text(
        "when distance(last(card_payment.geo) by card over prior 1d, geo) > 100 km if missing skip",
    );
    assert_eq!(
        identities,
        ["last(card_payment.geo where not geo is missing) by card over prior 1d"]
    );
    let (_, identities) = text(
        "when max(card_payment.risk) by card over last 7d ending 1d ago > 0.5 if missing skip",
    );
    assert_eq!(
        identities,
        ["max(card_payment.risk where not risk is missing) by card over prior 7d ending 1d ago"]
    );
}

#[test]
fn a_draft_rule_is_checked_and_makes_no_state() {
    let program = program(
        "rule r mode draft on card_payment when count(card_payment) by card over last 10m > 5 then alert",
    );
    assert!(program.tables.is_empty());
    assert!(program.plans.iter().all(|plan| plan.rules.is_empty() && plan.nodes.is_empty()));
    assert_eq!(program.rules.len(), 1);
}

#[test]
fn params_stand_for_constants_and_window_lengths() {
    let program = rule(
        "card_payment",
        "param n = 5 tune 3..12 param span = 10m when count(card_payment) by card over last span >= n",
    );
    assert_eq!(program.tables[0].identities, ["count(card_payment) by card over last 10m"]);
}

#[test]
fn only_rules_that_may_act_cap_a_score_group() {
    let caps = |rules: &str| {
        let program = program(rules);
        let name =
            |id: &crate::rules::program::RuleId| program.rules[usize::from(id.0)].name.clone();
        let group = program.groups.iter().find(|group| group.name == "g").expect("a group `g`");
        (group.cap, group.cap_by.iter().map(name).collect::<Vec<String>>())
    };
    let rule = |name: &str, clauses: &str, cap: &str| {
        format!(
            "rule {name} id \"{name}\" owner o {clauses} on card_payment when n_items > 5 then score +5 in g {cap}\n"
        )
    };
    let live = rule("live", "", "");
    for mode in ["draft", "shadow", "retired"] {
        let other = rule("other", &format!("mode {mode}"), "cap 40");
        assert_eq!(caps(&format!("{live}{other}")), (None, vec![]), "{mode}");
    }
    assert_eq!(caps(&rule("live", "", "cap 40")), (Some(40), vec![]));
    let canary = rule("canary", "mode canary 10% by card", "cap 40");
    assert_eq!(caps(&format!("{live}{canary}")), (Some(40), vec!["canary".to_owned()]));
    let dated = rule("dated", "effective 2026-01-01 .. 2026-01-31", "cap 40");
    assert_eq!(caps(&format!("{live}{dated}")), (Some(40), vec!["dated".to_owned()]));
    assert_eq!(caps(&format!("{}{dated}{canary}", rule("live", "", "cap 40"))), (Some(40), vec![]));
    // The cap of a retired rule contradicts nobody.
    let retired = rule("retired", "mode retired", "cap 60");
    assert_eq!(caps(&format!("{retired}{}", rule("live", "", "cap 40"))), (Some(40), vec![]));
}

#[test]
fn actions_lists_groups_and_messages_are_resolved() {
    let program = program(
        "rule r mode shadow on card_payment
         let tries = count(card_payment) by card over last 1h
         when amount > 5 EUR if missing skip
         then block reason \"spent {amount} in {tries} tries\\n\"
              alert queue l1 once per card, customer per 1h
              score +20 in velocity cap 50
              score -5
              add device to blocked_devices for 24h",
    );
    let names: Vec<_> = program.groups.iter().map(|g| (g.name.as_str(), g.cap)).collect();
    assert_eq!(names, [("default", None), ("velocity", None)], "what only watches caps nothing");
    let actions = &program.plans[0].rules[0].actions;
    let ActionPlan::Block { reason: Some(Message(parts)) } = &actions[0] else { panic!() };
    let amount = program.schema.events[0].field_named("amount").expect("declared");
    let tries = program.plans[0].rules[0].lets[0].1;
    assert_eq!(
        parts,
        &[
            MessagePart::Text("spent ".into()),
            MessagePart::Field(amount),
            MessagePart::Text(" in ".into()),
            MessagePart::Value(tries),
            MessagePart::Text(" tries\n".into()),
        ]
    );
    let ActionPlan::Alert { once: Some((slots, 3_600_000)), .. } = &actions[1] else { panic!() };
    assert_eq!(slots.len(), 2);
    assert_eq!(actions[2], ActionPlan::Score { points: 20, group: 1 });
    assert_eq!(actions[3], ActionPlan::Score { points: -5, group: 0 });
    assert!(matches!(actions[4], ActionPlan::Add { for_ms: 86_400_000, .. }));
}

#[test]
fn lists_have_the_members_of_their_files() {
    let program =
        rule("card_payment", "when country in countries or country in [DE] if missing skip");
    assert_eq!(
        program.lists[1].members,
        [
            ("IR".to_owned(), Some(1_893_456_000_000)),
            ("KP".to_owned(), None),
            // The whole last day of 2029 is valid.
            ("RU".to_owned(), Some(1_893_456_000_000)),
        ]
    );
    let (plan, op) = when(&program);
    let Op::Or(parts) = op else { panic!("{op:?}") };
    // `D` in the high byte, `E` in the low one.
    let expected = Op::InSet(NodeId(0), vec![Constant::Code(0x4445)]);
    assert!(parts.iter().any(|id| plan.nodes[id.0 as usize].op == expected));
}

#[test]
fn a_policy_sets_currency_zone_bands_and_state() {
    let program = program(
        "policy p base currency USD timezone \"Europe/Berlin\" band 85..100 -> hold for 2h band 40..69 -> alert queue l1 state 2GiB
         rule r mode shadow effective 2026-07-01 .. 2026-07-31 on card_payment when amount > 5 EUR if missing skip then alert",
    );
    assert_eq!(program.policy.state_bytes, 2 << 30);
    assert_eq!(program.policy.bands[0].0, 40);
    // Midnight in Berlin is 22:00 UTC of the day before, in summer.
    assert_eq!(program.rules[0].effective, Some((1_782_856_800_000, Some(1_785_535_200_000))));
}

#[test]
fn tests_have_times_and_typed_values() {
    let program = program(
        "rule r mode shadow on card_payment when amount > 5 EUR if missing skip then score +5 in g
         test r \"t\"
           given 4 card_payment(card: \"c\", amount: 20.50 EUR, device: missing) every 1m
           given login(user_id: \"u\")
           when card_payment(status: declined, geo: \"52.5, 13.4\", risk: 2, at: \"2026-01-01T00:00:00Z\")
           expect hit, score +5, undecided on device",
    );
    let test = &program.tests[0];
    assert_eq!((test.given[0].at_ms, test.given[0].every_ms), (0, 60_000));
    assert_eq!(test.given[1].at_ms, 240_000);
    assert_eq!(test.at_ms, 241_000);
    let score = WantedAction::Score { points: 5, group: None, cap: None };
    assert!(matches!(&test.expect[1], Expectation::Action(found, _) if *found == score));
}

#[test]
fn a_feature_is_a_name_in_every_event_that_can_compute_it() {
    let program = program(
        "feature new_device = is_new(login.device) by customer over prior 180d
         feature small = risk < 0.5
         rule r mode shadow on login when new_device then alert
         rule s mode shadow on transfer when count(card_payment where small) by customer over prior 1d > 1 then alert",
    );
    let of = |event: usize| {
        program.plans[event].features.iter().map(|f| f.0.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(0), ["new_device", "small"]);
    assert_eq!(of(1), ["new_device"]);
    assert_eq!(of(2), ["new_device"]);
}
