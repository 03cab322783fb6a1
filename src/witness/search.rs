//! The search for a witness: climbs towards a goal from several starts, with the engine's own answers as its guide, and
//! makes what it finds small.
//!
//! Deterministic: a seed and a number of tries say all. A try is one engine run over at most some hundred events.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::Value;
use crate::engine::{DecisionsWanted, Decoded, Engine, EngineOptions, Input, Silence};
use crate::event::build::BuildError;
use crate::event::schema::EventId;
use crate::rule_tests::{EPOCH_MS, in_order, row};
use crate::rules::eval::EvalError;
use crate::rules::program::{ActionPlan, EventPlan, NodeId, Program, TestEvent, TestEvents};
use crate::rules::statements::{Claim, Say};
use crate::witness::change::{Changes, Known, Prototypes};
use crate::witness::dice::Dice;
use crate::witness::goal::{Asked, Goal, Look, Parts};
use crate::witness::pool::{Pool, bare};
use crate::witness::story::{Story, set};

/// Tries without getting nearer after which a climb begins elsewhere.
const MAX_STALE: u32 = 250;

/// Tries for an event that one filter takes.
const PROTOTYPE_TRIES: u32 = 150;

/// Most tries that make a witness smaller.
const SHRINK_TRIES: u32 = 200;

/// Members of a list that the search knows; the test that is printed is run with all of them.
const MAX_MEMBERS: usize = 256;

const DAY_MS: i64 = 86_400_000;

/// An engine to try stories on.
pub(super) struct Lab<'p> {
    program: &'p Program,
    engine: Engine,
    prototypes: Prototypes,
    /// Filters for which an event was looked for.
    looked_for: BTreeSet<(EventId, NodeId)>,
}

/// A story with what came of it.
struct Tried<'p> {
    story: Story,
    look: Look<'p>,
    open: Vec<NodeId>,
    distance: f64,
}

impl<'p> Lab<'p> {
    pub(super) fn new(program: &'p Program) -> Result<Self, EvalError> {
        let options = EngineOptions {
            allowed_lateness_ms: i64::MAX / 4,
            decisions: DecisionsWanted::None,
            ..EngineOptions::default()
        };
        let engine = Engine::new(Arc::new(lean(program)), options)?;
        let (prototypes, looked_for) = (Prototypes::new(), BTreeSet::new());
        Ok(Self { program, engine, prototypes, looked_for })
    }

    /// A small story on which all claims of a goal hold.
    pub(super) fn find(
        &mut self,
        goal: &Goal,
        seeds: &[Story],
        (seed, tries): (u64, u32),
    ) -> Option<Story> {
        self.look_for_prototypes(goal);
        let mut dice = Dice::new(seed);
        let found = self.climb_from_all(goal, seeds, (tries, true), &mut dice)?;
        Some(self.shrink(goal, found))
    }

    /// An event for each filter by which windows count that the goal reads.
    fn look_for_prototypes(&mut self, goal: &Goal) {
        for (event, node) in &goal.cone {
            let Some(asked) = Asked::of(self.program, *event, *node) else { continue };
            let (Some(filter), of) = (asked.filter(), asked.plan.event) else { continue };
            if !self.looked_for.insert((of, filter)) {
                continue;
            }
            let claim = Claim { node: filter, say: Say::True };
            let goal = Goal::new(self.program, of, vec![claim], Vec::new());
            let found =
                self.climb_from_all(&goal, &[], (PROTOTYPE_TRIES, false), &mut Dice::new(0));
            self.prototypes.extend(found.map(|story| ((of, filter), story.when)));
        }
    }

    fn climb_from_all(
        &mut self,
        goal: &Goal,
        seeds: &[Story],
        (mut tries, with_past): (u32, bool),
        dice: &mut Dice,
    ) -> Option<Story> {
        let plain = Story { given: Vec::new(), when: bare(self.program, goal.event), at_ms: 0 };
        let mut starts: Vec<Story> =
            seeds.iter().filter(|seed| seed.when.event == goal.event).cloned().collect();
        starts.push(plain);
        for start in &mut starts {
            self.dress(goal, start);
        }
        starts.retain_mut(Story::settle);
        // Before anything is changed: what refuted one statement may refute another.
        for start in &starts {
            tries = tries.saturating_sub(1);
            if self.attempt(goal, start.clone())?.distance <= 0.0 {
                return Some(start.clone());
            }
        }
        let pool = Pool::of(self.program, goal);
        let claims: Vec<NodeId> = goal.claims.iter().map(|claim| claim.node).collect();
        let parts = Parts::below(self.program, goal.event, &claims);
        let prototypes = self.prototypes.clone();
        let changes = Changes {
            program: self.program,
            goal,
            pool: &pool,
            prototypes: &prototypes,
            parts: &parts,
            with_past,
        };
        for start in starts.iter().cycle() {
            if tries == 0 {
                break;
            }
            if let Some(found) = self.climb(&changes, start, &mut tries, dice) {
                return Some(found);
            }
        }
        None
    }

    fn climb(
        &mut self,
        changes: &Changes<'_>,
        start: &Story,
        tries: &mut u32,
        dice: &mut Dice,
    ) -> Option<Story> {
        let mut best = self.attempt(changes.goal, start.clone())?;
        let mut stale = 0;
        while *tries > 0 && stale < MAX_STALE {
            *tries -= 1;
            let mut story = best.story.clone();
            for _ in 0..=dice.below(3) {
                let known = Known { look: &best.look, open: &best.open };
                changes.change(&mut story, known, dice);
            }
            stale += 1;
            if !story.settle() {
                continue;
            }
            let Some(next) = self.attempt(changes.goal, story) else { continue };
            if next.distance <= 0.0 {
                return Some(next.story);
            }
            if next.distance <= best.distance {
                stale = if next.distance < best.distance { 0 } else { stale };
                best = next;
            }
        }
        None
    }

    /// What a story is; `None` where a value does not fit its field.
    fn attempt(&mut self, goal: &Goal, story: Story) -> Option<Tried<'p>> {
        let values = self.play(goal, &story).ok()?;
        let plan: &EventPlan = self.program.plans.get(usize::from(goal.event.0))?;
        let look = Look { plan, values };
        let mut open = Vec::new();
        let mut distance = look.distance(&goal.claims, &mut open);
        let time_ms = EPOCH_MS.saturating_add(story.at_ms);
        let is_on = |(from_ms, to_ms): &(i64, Option<i64>)| {
            *from_ms <= time_ms && to_ms.is_none_or(|to_ms| time_ms < to_ms)
        };
        if !goal.days.iter().all(is_on) {
            distance += 1.0;
        }
        Some(Tried { story, look, open, distance })
    }

    fn play(&mut self, goal: &Goal, story: &Story) -> Result<Vec<Value>, BuildError> {
        let schema = &self.program.schema;
        self.engine.forget();
        let stream = self.engine.open_stream("witness", 0);
        let mut offset = 0;
        for (at_ms, event) in in_order(&story.given) {
            let row = row(schema, (event, at_ms), offset)?;
            let input = Input { stream, offset, arrival_ms: None, payload: None };
            self.engine.decide(&input, Ok(Decoded { raw: &[], row: &row }), &mut Silence);
            offset += 1;
        }
        let row = row(schema, (&story.when, story.at_ms), offset)?;
        let found = self.engine.peek(stream, Decoded { raw: &[], row: &row }, &goal.nodes);
        let n_nodes =
            self.program.plans.get(usize::from(goal.event.0)).map_or(0, |plan| plan.nodes.len());
        let mut values = vec![Value::Missing; n_nodes];
        for (node, value) in goal.nodes.iter().zip(found) {
            if let Some(held) = values.get_mut(node.0 as usize) {
                *held = value;
            }
        }
        Ok(values)
    }

    /// Gives a start what every event has, and a day on which its rules are in effect.
    fn dress(&self, goal: &Goal, start: &mut Story) {
        let events = start.given.iter_mut().map(|events| &mut events.event);
        for event in events.chain([&mut start.when]) {
            event.fields.sort_by_key(|(field, _)| *field);
            for (field, value) in bare(self.program, event.event).fields {
                if !event.fields.iter().any(|(known, _)| *known == field) {
                    set(event, field, Some(value));
                }
            }
        }
        let begin_ms = goal.days.iter().map(|(from_ms, _)| from_ms.saturating_sub(EPOCH_MS)).max();
        if let Some(late_ms) = begin_ms.map(|from_ms| from_ms.saturating_sub(start.at_ms)) {
            start.shift(late_ms.max(0).saturating_add(DAY_MS - 1) / DAY_MS * DAY_MS);
        }
    }

    /// Leaves out of a story what it does not need, as far as so many tries go.
    fn shrink(&mut self, goal: &Goal, mut story: Story) -> Story {
        let (mut tries, mut at, mut shrunk) = (SHRINK_TRIES, 0, false);
        while tries > 0 {
            let mut smaller = smaller(self.program, &story);
            if at >= smaller.len() {
                if !shrunk {
                    break;
                }
                (at, shrunk) = (0, false);
                continue;
            }
            let mut next = smaller.swap_remove(at);
            at += 1;
            if !next.settle() || next == story {
                continue;
            }
            tries -= 1;
            if let Some(tried) = self.attempt(goal, next).filter(|tried| tried.distance <= 0.0) {
                // WHY: on from here; what could not be left out before can hardly be now.
                (story, shrunk, at) = (tried.story, true, at - 1);
            }
        }
        story
    }
}

/// Stories that are a little smaller, or plainer, than one.
fn smaller(program: &Program, story: &Story) -> Vec<Story> {
    let mut all = Vec::new();
    let with = |change: &dyn Fn(&mut Story)| {
        let mut other = story.clone();
        change(&mut other);
        other
    };
    for index in 0..story.given.len() {
        all.push(with(&|other| drop(other.given.remove(index))));
    }
    for (index, events) in story.given.iter().enumerate() {
        // The judged event can do the part of one before it.
        if events.event.event == story.when.event && events.event != story.when {
            all.push(with(&|other| {
                other.when = events.event.clone();
                other.given[index].times -= 1;
            }));
        }
        let TestEvents { times, every_ms, at_ms, .. } = *events;
        for fewer in [1, times / 2, times.saturating_sub(1)] {
            if (1..times).contains(&fewer) {
                all.push(with(&|other| other.given[index].times = fewer));
            }
        }
        if every_ms != 1_000 {
            all.push(with(&|other| other.given[index].every_ms = 1_000));
        }
        let before = story.given[..index].iter().filter_map(|events| events.moments().last());
        let next_ms = before.max().map_or(0, |last_ms| last_ms.saturating_add(1_000));
        if at_ms != next_ms {
            all.push(with(&|other| other.given[index].at_ms = next_ms));
            for round_ms in rounder(at_ms) {
                all.push(with(&|other| other.given[index].at_ms = round_ms));
            }
        }
        for event in plainer(program, &events.event) {
            all.push(with(&|other| other.given[index].event = event.clone()));
        }
    }
    for event in plainer(program, &story.when) {
        all.push(with(&|other| other.when = event.clone()));
    }
    let last_ms = story.given.iter().filter_map(|events| events.moments().last()).max();
    let soon_ms = last_ms.map_or(0, |last_ms| last_ms.saturating_add(1_000));
    let first_ms = story.given.iter().map(|events| events.at_ms).min().unwrap_or(story.at_ms);
    let early_ms = first_ms.min(story.at_ms);
    for by_ms in [early_ms, early_ms / DAY_MS * DAY_MS] {
        if by_ms > 0 {
            all.push(with(&|other| other.shift(by_ms.saturating_neg())));
        }
    }
    if story.at_ms != soon_ms {
        for at_ms in rounder(story.at_ms).chain([soon_ms]) {
            all.push(with(&|other| other.at_ms = at_ms));
        }
    }
    all
}

/// The moments nearest to one that a reader would rather see, the plainest first.
fn rounder(at_ms: i64) -> impl Iterator<Item = i64> {
    let units = [DAY_MS, 3_600_000, 60_000, 1_000].into_iter();
    let is_round = move |unit_ms: &i64| at_ms % unit_ms != 0;
    let down = move |unit_ms: i64| at_ms / unit_ms * unit_ms;
    units.take_while(is_round).flat_map(move |unit_ms| [down(unit_ms), down(unit_ms) + unit_ms])
}

/// An event without one of its optional fields, or with the usual value in another.
fn plainer(program: &Program, event: &TestEvent) -> Vec<TestEvent> {
    let ty = program.schema.event(event.event);
    let usual = bare(program, event.event);
    let mut all = Vec::new();
    for (id, value) in &event.fields {
        let plain = usual.fields.iter().find(|(known, _)| known == id).map(|(_, value)| value);
        if ty.field(*id).optional || plain.is_some_and(|plain| plain != value) {
            let mut other = event.clone();
            set(&mut other, *id, plain.cloned().filter(|_| !ty.field(*id).optional));
            all.push(other);
        }
    }
    all
}

/// The program with what the search needs: all state, of the rules only those that change lists, of long lists a part.
fn lean(program: &Program) -> Program {
    let mut lean = program.clone();
    for plan in &mut lean.plans {
        plan.rules.retain(|body| {
            body.actions
                .iter()
                .any(|action| matches!(action, ActionPlan::Add { .. } | ActionPlan::Remove { .. }))
        });
    }
    for list in &mut lean.lists {
        list.members.truncate(MAX_MEMBERS);
    }
    lean.tests.clear();
    lean
}
