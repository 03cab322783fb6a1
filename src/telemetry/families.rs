//! Metric families from books: names, helps and labels stand here and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::base::count::nearest_f64;
use crate::telemetry::board::Identity;
use crate::telemetry::books::{
    Books, DECISION_BOUNDS_S, EngineReport, Histogram, LATENCY_BOUNDS_S, ModelReport, Names,
    NewestSnapshot, SnapshotBooks, Verdicts,
};
use crate::telemetry::requests::{RequestCounts, RouteName};

/// Labels and values of a family, summed over the cells.
type Samples = BTreeMap<Vec<(&'static str, String)>, f64>;

/// Counts per name, as the engine reports them.
type PerName = Vec<(Arc<str>, u64)>;

/// The families of a scrape.
pub(crate) fn of(cells: &[Books], identity: &Identity, asked: &RequestCounts) -> Vec<MetricFamily> {
    let mut families = records(cells);
    families.extend(rules(cells));
    families.extend(state(cells));
    families.extend(memory(cells));
    families.extend(models(cells));
    families.extend(model_times(cells));
    families.extend(labels(cells));
    families.extend(kafka(cells));
    families.extend(snapshots(cells));
    families.extend(audit(cells));
    families.extend(requests(asked));
    families.push(info("riskweir_build_info", "Version that runs.", "version", &identity.version));
    families.push(info(
        "riskweir_ruleset_info",
        "Rule set that runs.",
        "digest",
        &identity.ruleset,
    ));
    let is_behind = identity.folder_refused || identity.held_back;
    families.push(gauge(
        "riskweir_ruleset_behind",
        "1 while the rule set that came last is not the one that runs: it was refused or is held back.",
        Samples::from([(Vec::new(), f64::from(u8::from(is_behind)))]),
    ));
    let reloads = identity
        .reloads
        .iter()
        .map(|(outcome, n)| (vec![("outcome", (*outcome).to_owned())], nearest_f64(*n)));
    families.push(counter(
        "riskweir_rule_reloads_total",
        "Rule sets that came while the process ran.",
        reloads.collect(),
    ));
    // WHY: the text format has no place for a family without samples, and the encoder refuses one.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

fn records(cells: &[Books]) -> Vec<MetricFamily> {
    let read = gather(cells, |books, out| {
        books.read.iter().for_each(|(topic, n)| add(out, vec![("topic", topic.to_string())], *n));
    });
    let decided = gather(cells, |books, out| labeled(out, "outcome", &books.decided));
    let dead = gather(cells, |books, out| labeled(out, "reason", &books.dead_lettered));
    let commanded = gather(cells, |books, out| labeled(out, "result", &books.commanded));
    let decision = merged(cells, DECISION_BOUNDS_S, |books| &books.decision_duration);
    let end_to_end = merged(cells, LATENCY_BOUNDS_S, |books| &books.end_to_end);
    vec![
        counter("riskweir_records_read_total", "Records read from input topics.", read),
        gauge(
            "riskweir_records_in_flight",
            "Records read whose outputs are not all acknowledged.",
            total(cells, |books| books.in_flight),
        ),
        counter("riskweir_decisions_total", "Records with an acknowledged decision.", decided),
        counter("riskweir_dead_letter_total", "Records that could not be decided.", dead),
        counter("riskweir_commands_total", "Commands that were taken.", commanded),
        counter(
            "riskweir_records_abandoned_total",
            "Records given up with their partitions before their outputs were acknowledged; they are read again.",
            total(cells, |books| books.abandoned),
        ),
        histogram(
            "riskweir_decision_duration_seconds",
            "Time in the engine per record.",
            &decision,
        ),
        histogram(
            "riskweir_end_to_end_latency_seconds",
            "From the record's time in Kafka to the acknowledgement of its last output.",
            &end_to_end,
        ),
    ]
}

fn rules(cells: &[Books]) -> Vec<MetricFamily> {
    let per_rule = |pick: fn(&EngineReport) -> &PerName| {
        gather(cells, move |books, out| {
            for (rule, n) in pick(&books.engine) {
                add(out, vec![("rule", rule.to_string())], *n);
            }
        })
    };
    let by = |label: &'static str, pick: fn(&EngineReport) -> &Vec<(&'static str, u64)>| {
        gather(cells, move |books, out| {
            for (name, n) in pick(&books.engine) {
                add(out, vec![(label, (*name).to_owned())], *n);
            }
        })
    };
    let oldest_ms = cells.iter().filter_map(|books| books.engine.holds_oldest_ms).min();
    let oldest = oldest_ms.map(|ms| (Vec::new(), ms_as_seconds(ms))).into_iter().collect();
    vec![
        counter("riskweir_alerts_total", "Alerts per rule.", per_rule(|e| &e.alerts)),
        counter(
            "riskweir_alerts_thinned_total",
            "Hits whose alert was kept back by `once per`.",
            per_rule(|e| &e.alerts_thinned),
        ),
        counter("riskweir_rule_hits_total", "Hits per rule.", per_rule(|e| &e.rule_hits)),
        counter(
            "riskweir_rule_undecided_total",
            "Events that a rule could not judge.",
            per_rule(|e| &e.rule_undecided),
        ),
        gauge(
            "riskweir_rule_amount_minor",
            "Amounts of the events of the last 90 days that a rule hit, in minor units of the base currency.",
            per_rule(|e| &e.rule_amounts),
        ),
        gauge(
            "riskweir_rule_amounts_left_out",
            "Events of the last 90 days that a rule hit without an amount, or in a currency without a rate.",
            per_rule(|e| &e.rule_amounts_left_out),
        ),
        gauge("riskweir_holds_open", "Holds that are open.", total(cells, |b| b.engine.holds_open)),
        gauge(
            "riskweir_holds_oldest_timestamp_seconds",
            "Event time at which the oldest open hold was placed.",
            oldest,
        ),
        gauge(
            "riskweir_holds_due_soon",
            "Open holds with less than a fifth of their time left, by whether somebody claimed them.",
            by("claimed", |e| &e.holds_due_soon),
        ),
        counter("riskweir_holds_total", "Holds that reached a state.", by("state", |e| &e.holds)),
        hold_ages(cells),
        counter(
            "riskweir_episode_ends_total",
            "Episodes of alerts that ended, by what ended them.",
            by("reason", |e| &e.episode_ends),
        ),
        counter(
            "riskweir_challenge_answers_total",
            "Answers to challenges by what came of them.",
            by("result", |e| &e.answers),
        ),
    ]
}

/// How long holds were open, by the state in which they ended.
fn hold_ages(cells: &[Books]) -> MetricFamily {
    let ages = engines(cells).hold_ages;
    let of = |(result, ages): &(&'static str, Histogram)| {
        let mut metric = distribution(ages);
        metric.set_label(label_pairs(&[("result", (*result).to_owned())]));
        metric
    };
    family(
        "riskweir_hold_age_seconds",
        "How long holds were open that ended.",
        MetricType::HISTOGRAM,
        ages.iter().map(of).collect(),
    )
}

fn state(cells: &[Books]) -> Vec<MetricFamily> {
    let keys = gather(cells, |books, out| {
        for (table, n) in &books.engine.state_keys {
            add(out, vec![("table", table.to_string())], *n);
        }
    });
    let mapping = gather(cells, |books, out| {
        for (field, n) in &books.engine.mapping_errors {
            add(out, vec![("field", field.to_string())], *n);
        }
    });
    let never_stored = gather(cells, |books, out| {
        for (topic, n) in &books.engine.never_stored {
            add(out, vec![("topic", topic.to_string())], *n);
        }
    });
    let watermarks = gather(cells, |books, out| {
        for (topic, partition, ms) in &books.engine.watermarks {
            let labels = vec![("partition", partition.to_string()), ("topic", topic.to_string())];
            out.insert(labels, ms_as_seconds(*ms));
        }
    });
    let count = |pick: fn(&EngineReport) -> u64| total(cells, move |books| pick(&books.engine));
    vec![
        gauge(
            "riskweir_watermark_timestamp_seconds",
            "Largest accepted event time of an input partition.",
            watermarks,
        ),
        counter("riskweir_late_records_total", "Records behind their clock.", count(|e| e.late)),
        counter(
            "riskweir_future_records_total",
            "Records too far ahead of their arrival.",
            count(|e| e.future),
        ),
        counter(
            "riskweir_duplicate_records_total",
            "Records whose id was known already.",
            count(|e| e.duplicates),
        ),
        gauge("riskweir_state_keys", "Keys that hold windows.", keys),
        counter(
            "riskweir_overflows_total",
            "Events of which rules asked a value too large to be reckoned with: it was missing for them.",
            count(|e| e.overflows),
        ),
        counter(
            "riskweir_breaker_trips_total",
            "Rules that stopped more than the breaker of the policy allows.",
            count(|e| e.breaker_trips),
        ),
        counter(
            "riskweir_mapping_errors_total",
            "Values that a declared field could not take.",
            mapping,
        ),
        counter(
            "riskweir_sad_dropped_total",
            "Members of records whose values are never stored, such as `cvv` or `pin`.",
            never_stored,
        ),
    ]
}

/// What the byte budget takes, and what gave way to it.
fn memory(cells: &[Books]) -> Vec<MetricFamily> {
    let holds = gather(cells, |books, out| {
        for (state, n) in &books.engine.holds_bytes {
            add(out, vec![("state", (*state).to_owned())], *n);
        }
    });
    let count = |pick: fn(&EngineReport) -> u64| total(cells, move |books| pick(&books.engine));
    vec![
        gauge("riskweir_holds_bytes", "Memory of holds.", holds),
        gauge(
            "riskweir_holds_limit_bytes",
            "Memory of holds beyond which none is placed by hand.",
            count(|e| e.holds_limit_bytes),
        ),
        gauge("riskweir_state_bytes", "Memory of all windows.", count(|e| e.state_bytes)),
        counter(
            "riskweir_state_evictions_total",
            "Keys that the memory budget pushed out.",
            count(|e| e.state_evictions),
        ),
        counter(
            "riskweir_ids_cut_short_total",
            "Times that ids were forgotten early for want of room: older repeats are decided anew.",
            count(|e| e.ids_cut_short),
        ),
        counter(
            "riskweir_episodes_cut_short_total",
            "Alert episodes that were forgotten early for want of room: their next hit alerts again.",
            count(|e| e.episodes_cut_short),
        ),
        counter(
            "riskweir_list_changes_refused_total",
            "Changes of lists by rules that were not done for want of room.",
            count(|e| e.list_changes_refused),
        ),
    ]
}

fn models(cells: &[Books]) -> Vec<MetricFamily> {
    let sum = engines(cells);
    let name = |model: &ModelReport| vec![("model", model.model.to_string())];
    let of = |model: &ModelReport, feature: &str| {
        vec![("feature", feature.to_owned()), ("model", model.model.to_string())]
    };
    let count = |pick: fn(&ModelReport) -> u64| -> Samples {
        sum.models.iter().map(|model| (name(model), nearest_f64(pick(model)))).collect()
    };
    let (mut missing, mut features, mut scores) = (Samples::new(), Samples::new(), Samples::new());
    let (mut tied, mut beyond) = (Samples::new(), Samples::new());
    for model in &sum.models {
        tied.extend(model.tied.map(|share| (name(model), share)));
        for (rule, is_beyond) in &model.beyond_reach {
            let labels = vec![("model", model.model.to_string()), ("rule", rule.to_string())];
            beyond.insert(labels, f64::from(u8::from(*is_beyond)));
        }
        for (feature, n) in &model.missing {
            add(&mut missing, of(model, feature), *n);
        }
        for (what, stability, _) in &model.moved {
            match what {
                Some(feature) => features.insert(of(model, feature), *stability),
                None => scores.insert(name(model), *stability),
            };
        }
    }
    vec![
        counter(
            "riskweir_model_scores_total",
            "Events that a model scored.",
            count(|model| model.scored),
        ),
        counter(
            "riskweir_model_unscored_total",
            "Events that a model could not score: it is warming, or nothing that it reads is known.",
            count(|model| model.unscored),
        ),
        counter(
            "riskweir_model_high_scores_total",
            "Scored events that lie above 99.5 % of the newest scores.",
            count(|model| model.high),
        ),
        gauge(
            "riskweir_model_tied_ratio",
            "Share of the newest scores that are equal to the largest: which of them come first is drawn by lot.",
            tied,
        ),
        gauge(
            "riskweir_model_bound_beyond_reach",
            "1 while a rule asks for a place that no score can have, because the window holds too few.",
            beyond,
        ),
        counter("riskweir_model_missing_total", "Events that lacked a feature.", missing),
        gauge(
            "riskweir_model_feature_stability",
            "How far a feature has moved from the training: population stability index.",
            features,
        ),
        gauge(
            "riskweir_model_score_stability",
            "How far the score has moved from the training: population stability index.",
            scores,
        ),
    ]
}

/// How long models take.
fn model_times(cells: &[Books]) -> Vec<MetricFamily> {
    let models = engines(cells).models;
    let of = |pick: fn(&ModelReport) -> Option<f64>| -> Samples {
        let sample =
            |model: &ModelReport| Some((vec![("model", model.model.to_string())], pick(model)?));
        models.iter().filter_map(sample).collect()
    };
    vec![
        gauge(
            "riskweir_model_score_duration_seconds",
            "How long a score of the newest event takes, when it is asked for once more; features come on top.",
            of(|model| model.score_seconds),
        ),
        gauge(
            "riskweir_model_score_bound_seconds",
            "What a score takes at most by the costs that rule sets are admitted by.",
            of(|model| Some(model.bound_seconds)),
        ),
    ]
}

/// Labelled events from which on a precision is told.
///
/// WHY: two standard errors of a share of a half among 30 are 0.18; of fewer it says less than it seems to.
const MIN_LABELLED: u64 = 30;

fn labels(cells: &[Books]) -> Vec<MetricFamily> {
    let sum = engines(cells).labels;
    let came = sum
        .came
        .iter()
        .map(|(names, n)| (named(["event", "found", "verdict"], names.clone()), nearest_f64(*n)));
    let (events, _) = verdicts(["event", "found"], &sum.events);
    let (rules, of_rules) = verdicts(["mode", "rule"], &sum.rules);
    let (models, of_models) = verdicts(["model"], &sum.models);
    vec![
        counter(
            "riskweir_labels_total",
            "Labels that came, by what was known of the event that they are about.",
            came.collect(),
        ),
        gauge(
            "riskweir_labelled_events",
            "Remembered events with a label, by whether rules hit them.",
            events,
        ),
        gauge(
            "riskweir_rule_labelled_events",
            "Remembered events with a label that a rule hit.",
            rules,
        ),
        gauge(
            "riskweir_rule_precision_ratio",
            "Share of fraud among the labelled events that a rule hit; from 30 of them on.",
            of_rules,
        ),
        gauge(
            "riskweir_model_labelled_events",
            "Remembered events with a label that a model scored above 99.5 % of the newest scores.",
            models,
        ),
        gauge(
            "riskweir_model_precision_ratio",
            "Share of fraud among the labelled events that a model scored high; from 30 of them on.",
            of_models,
        ),
        counter(
            "riskweir_label_evictions_total",
            "Events that were forgotten before their label could come, for want of room.",
            Samples::from([(Vec::new(), nearest_f64(sum.evicted))]),
        ),
    ]
}

/// Events by verdict, and the share of fraud among them where they are enough.
fn verdicts<const N: usize>(
    labels: [&'static str; N],
    counts: &[(Names<N>, Verdicts)],
) -> (Samples, Samples) {
    let (mut events, mut ratios) = (Samples::new(), Samples::new());
    for (names, Verdicts { fraud, genuine }) in counts {
        let of = named(labels, names.clone());
        for (verdict, n) in [("fraud", fraud), ("genuine", genuine)] {
            let mut of = of.clone();
            of.push(("verdict", verdict.to_owned()));
            events.insert(of, nearest_f64(*n));
        }
        let n = fraud + genuine;
        if n >= MIN_LABELLED {
            ratios.insert(of, nearest_f64(*fraud) / nearest_f64(n));
        }
    }
    (events, ratios)
}

fn named<const N: usize>(
    labels: [&'static str; N],
    values: Names<N>,
) -> Vec<(&'static str, String)> {
    labels.into_iter().zip(values).map(|(label, value)| (label, value.to_string())).collect()
}

fn kafka(cells: &[Books]) -> Vec<MetricFamily> {
    let lag = gather(cells, |books, out| {
        for (topic, partition, n) in &books.lag {
            let labels = vec![("partition", partition.to_string()), ("topic", topic.to_string())];
            add(out, labels, *n);
        }
    });
    let rebalances = gather(cells, |books, out| labeled(out, "kind", &books.rebalances));
    let unwritten = gather(cells, |books, out| labeled(out, "output", &books.output_errors));
    let errors = gather(cells, |books, out| {
        for (code, n) in &books.kafka_errors {
            add(out, vec![("code", code.clone())], *n);
        }
    });
    vec![
        gauge("riskweir_consumer_lag_records", "Records not yet read.", lag),
        counter("riskweir_rebalances_total", "Changes of the assignment.", rebalances),
        counter("riskweir_kafka_errors_total", "Errors of the Kafka client.", errors),
        counter(
            "riskweir_output_errors_total",
            "Outputs that could not be written and are tried again.",
            unwritten,
        ),
    ]
}

fn snapshots(cells: &[Books]) -> Vec<MetricFamily> {
    let newest = |value: fn(&NewestSnapshot) -> Option<f64>| {
        gather(cells, move |books, out| {
            for SnapshotBooks { shard, newest, .. } in &books.snapshots {
                let value = newest.as_ref().and_then(value);
                if let Some((shard, value)) = shard.as_ref().zip(value) {
                    out.insert(vec![("shard", shard.to_string())], value);
                }
            }
        })
    };
    let errors = gather(cells, |books, out| {
        for SnapshotBooks { shard, errors, .. } in &books.snapshots {
            if let Some(shard) = shard {
                add(out, vec![("shard", shard.to_string())], *errors);
            }
        }
    });
    vec![
        gauge(
            "riskweir_snapshot_timestamp_seconds",
            "When the newest snapshot was begun.",
            newest(|newest| Some(ms_as_seconds(newest.created_at_ms))),
        ),
        gauge(
            "riskweir_snapshot_duration_seconds",
            "From the beginning of the newest snapshot until it was published.",
            newest(|newest| newest.took.map(|took| took.as_secs_f64())),
        ),
        gauge(
            "riskweir_snapshot_bytes",
            "Length of the newest snapshot on its storage.",
            newest(|newest| Some(nearest_f64(newest.size_bytes))),
        ),
        counter("riskweir_snapshot_errors_total", "Snapshots that could not be written.", errors),
    ]
}

fn audit(cells: &[Books]) -> Vec<MetricFamily> {
    let labels = |topic: &Arc<str>, partition: i32| {
        vec![("partition", partition.to_string()), ("topic", topic.to_string())]
    };
    let seqs = gather(cells, |books, out| {
        for (topic, partition, seq) in &books.engine.audit_seqs {
            add(out, labels(topic, *partition), *seq);
        }
    });
    let anchors = gather(cells, |books, out| {
        for ((topic, partition), ms) in &books.anchors {
            out.insert(labels(topic, *partition), ms_as_seconds(*ms));
        }
    });
    vec![
        gauge("riskweir_audit_seq", "Audit records in the chain of an input partition.", seqs),
        gauge(
            "riskweir_audit_anchor_timestamp_seconds",
            "When the newest checkpoint of an audit chain was signed.",
            anchors,
        ),
    ]
}

fn requests(asked: &RequestCounts) -> Vec<MetricFamily> {
    let of = |route: &RouteName| {
        vec![("method", route.method.to_owned()), ("route", route.path.to_owned())]
    };
    let answered = asked.requests.iter().map(|((route, status), n)| {
        let mut labels = of(route);
        labels.push(("status", status.to_string()));
        (labels, nearest_f64(*n))
    });
    let limited = asked.rate_limited.iter();
    let limited = limited.map(|(whose, n)| (vec![("whose", (*whose).to_owned())], nearest_f64(*n)));
    let one = |n: u64| Samples::from([(Vec::new(), nearest_f64(n))]);
    let took = asked.durations.iter().map(|(route, histogram)| {
        let mut metric = distribution(histogram);
        metric.set_label(label_pairs(&of(route)));
        metric
    });
    vec![
        counter("riskweir_api_requests_total", "Requests to the HTTP API.", answered.collect()),
        family(
            "riskweir_api_request_duration_seconds",
            "Until a request to the HTTP API was answered; a stream of events, until it began.",
            MetricType::HISTOGRAM,
            took.collect(),
        ),
        counter(
            "riskweir_api_rate_limited_total",
            "Requests beyond the share of a person or of an address.",
            limited.collect(),
        ),
        counter(
            "riskweir_api_unauthenticated_total",
            "Requests without a valid token.",
            one(asked.unauthenticated),
        ),
        counter(
            "riskweir_api_overridden_total",
            "What one person did alone that takes two.",
            one(asked.overridden),
        ),
        gauge("riskweir_api_streams", "Streams of events that are open.", one(asked.streams)),
        gauge("riskweir_api_store_bytes", "Bytes of the read model.", one(asked.stored_bytes)),
        counter(
            "riskweir_api_store_let_go_total",
            "Records that the read model let go before their time, for want of room.",
            one(asked.let_go),
        ),
    ]
}

/// What all engines report, together.
fn engines(cells: &[Books]) -> EngineReport {
    let mut sum = EngineReport::default();
    for books in cells {
        sum.add(&books.engine);
    }
    sum
}

fn gather(cells: &[Books], each: impl Fn(&Books, &mut Samples)) -> Samples {
    let mut samples = Samples::new();
    for books in cells {
        each(books, &mut samples);
    }
    samples
}

fn total(cells: &[Books], pick: impl Fn(&Books) -> u64) -> Samples {
    Samples::from([(Vec::new(), nearest_f64(cells.iter().map(pick).sum()))])
}

fn add(samples: &mut Samples, labels: Vec<(&'static str, String)>, n: u64) {
    *samples.entry(labels).or_default() += nearest_f64(n);
}

fn labeled(samples: &mut Samples, label: &'static str, counts: &BTreeMap<&'static str, u64>) {
    for (name, n) in counts {
        add(samples, vec![(label, (*name).to_owned())], *n);
    }
}

fn merged(
    cells: &[Books],
    bounds: &'static [f64],
    pick: impl Fn(&Books) -> &Histogram,
) -> Histogram {
    let mut merged = Histogram::new(bounds);
    for books in cells {
        merged.add(pick(books));
    }
    merged
}

#[expect(clippy::cast_precision_loss, reason = "times in ms lie far below 2^53")]
fn ms_as_seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label_pairs(labels: &[(&'static str, String)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&'static str, String)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    };
    labels.iter().map(pair).collect()
}

fn counter(name: &str, help: &str, samples: Samples) -> MetricFamily {
    let metric = |(labels, value): (Vec<(&'static str, String)>, f64)| {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::default();
        metric.set_label(label_pairs(&labels));
        metric.set_counter(counter);
        metric
    };
    family(name, help, MetricType::COUNTER, samples.into_iter().map(metric).collect())
}

fn gauge(name: &str, help: &str, samples: Samples) -> MetricFamily {
    let metric = |(labels, value): (Vec<(&'static str, String)>, f64)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::default();
        metric.set_label(label_pairs(&labels));
        metric.set_gauge(gauge);
        metric
    };
    family(name, help, MetricType::GAUGE, samples.into_iter().map(metric).collect())
}

fn info(name: &str, help: &str, label: &'static str, value: &str) -> MetricFamily {
    gauge(name, help, Samples::from([(vec![(label, value.to_owned())], 1.0)]))
}

fn histogram(name: &str, help: &str, histogram: &Histogram) -> MetricFamily {
    family(name, help, MetricType::HISTOGRAM, vec![distribution(histogram)])
}

fn distribution(histogram: &Histogram) -> Metric {
    let mut cumulative = 0;
    let mut buckets = Vec::with_capacity(histogram.bounds_s.len());
    for (bound, count) in histogram.bounds_s.iter().zip(&histogram.counts) {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulative);
        buckets.push(bucket);
    }
    let mut proto = prometheus::proto::Histogram::default();
    proto.set_bucket(buckets);
    proto.set_sample_count(histogram.counts.iter().sum());
    proto.set_sample_sum(histogram.sum_s);
    let mut metric = Metric::default();
    metric.set_histogram(proto);
    metric
}
