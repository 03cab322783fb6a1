//! What an event's turn leaves in the book of labels.

use crate::base::EntityKey;
use crate::engine::judge::{Hit, Judgement};
use crate::engine::labels::{Day, Found, Stance, Subject};
use crate::engine::models::HIGH_PPM;
use crate::engine::port::Sink;
use crate::engine::scene;
use crate::engine::step::Decoded;
use crate::engine::tell::rule;
use crate::engine::turn::{Standing, Turn};
use crate::models::online::Scored;
use crate::rules::program::Mode;

impl<S: Sink> Turn<'_, S> {
    /// Remembers who said something of an event that labels may be about.
    pub(in crate::engine) fn await_label(
        &mut self,
        standing: &Standing,
        judgement: &Judgement<'_>,
    ) {
        let Decoded { row, .. } = self.decoded;
        if !self.setup.labelled[usize::from(row.event)] {
            return;
        }
        let day = Day::of(standing.now_ms(self.decoded));
        let program = &self.setup.program;
        let said = &mut self.work.said;
        said.clear();
        let acted = |hit: &Hit<'_>| match rule(program, hit.body.rule).mode {
            Mode::Canary(_) => Stance::Canary,
            _ => Stance::Live,
        };
        let acting = judgement.hits.iter().map(|hit| (acted(hit), hit));
        let watching = judgement.shadow.iter().map(|hit| (Stance::Shadow, hit));
        for (stance, hit) in acting.chain(watching) {
            said.push(Subject::rule(stance, rule(program, hit.body.rule)));
        }
        for (model, _, scored) in self.work.answers.models.all() {
            let place = scored.and_then(Scored::percentile_ppm);
            let plan = program.models.get(usize::from(model.0));
            let plan = plan.filter(|_| place.is_some_and(|ppm| ppm >= HIGH_PPM));
            said.extend(plan.map(Subject::model));
        }
        let labels = &mut self.remembered.labels;
        if said.is_empty() {
            labels.quiet(standing.id_digest, day);
            return;
        }
        let found = match (judgement.hits.is_empty(), judgement.shadow.is_empty()) {
            (false, _) => Found::Acted,
            (true, false) => Found::Watched,
            (true, true) => Found::NoHit,
        };
        said.insert(0, Subject::events(found, &program.schema.event(row.event()).name));
        labels.hit(standing.id_digest, day, said);
    }

    /// Takes what this event says about another one, if it is a label.
    pub(in crate::engine) fn take_label(&mut self) {
        let Decoded { row, .. } = self.decoded;
        let schema = &self.setup.program.schema;
        let own = schema.event(row.event());
        let Some(spec) = &own.labels else { return };
        let finding = spec.finding(row.get(spec.verdict));
        let id = scene::text(self.decoded, spec.id);
        let labels = &mut self.remembered.labels;
        let mut named = spec.events.iter().filter(|_| row.get(spec.id).is_some());
        let found = named.find_map(|event| {
            let name = EntityKey::of_text(schema.event(*event).name.as_bytes());
            let id = self.setup.id_of(*event, id.as_bytes());
            labels.label((id, name), (finding, row.time_ms))
        });
        labels.count(&own.name, finding, found.unwrap_or(Found::Unknown));
    }
}
