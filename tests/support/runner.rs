//! An engine that reads one partition record by record, what it wrote, and its snapshots.

use std::sync::Arc;

use riskweir::engine::{
    Engine, EngineOptions, Input, Output, OutputTopic, Restore, SnapshotStatus,
};
use riskweir::rules::program::Program;
use serde_json::Value;

/// An engine over the topic `t`, with all that it wrote.
pub(crate) struct Runner {
    pub(crate) engine: Engine,
    pub(crate) out: Vec<Output>,
    /// That of the next record.
    pub(crate) offset: i64,
}

impl Runner {
    pub(crate) fn new(program: &Arc<Program>) -> Self {
        let engine = Engine::new(Arc::clone(program), EngineOptions::default()).unwrap();
        Self { engine, out: Vec::new(), offset: 0 }
    }

    /// From a snapshot; goes on at an offset.
    pub(crate) fn restored(program: &Arc<Program>, bytes: &[u8], offset: i64) -> Self {
        let mut restore = Restore::new(Arc::clone(program), EngineOptions::default());
        restore.part(bytes).unwrap();
        Self { engine: restore.finish().unwrap(), out: Vec::new(), offset }
    }

    pub(crate) fn steps(&mut self, lines: &[String]) {
        for line in lines {
            self.step(line);
        }
    }

    fn step(&mut self, line: &str) {
        let stream = self.engine.open_stream("t", 0);
        let payload = Some(line.as_bytes());
        let input = Input { stream, offset: self.offset, arrival_ms: None, payload };
        self.engine.step(&input, &mut self.out);
        self.offset += 1;
    }

    /// The decision about one more record.
    pub(crate) fn decide(&mut self, line: &str) -> Value {
        let from = self.out.len();
        self.step(line);
        let decision =
            self.out[from..].iter().find(|output| output.topic == OutputTopic::Decisions);
        serde_json::from_slice(&decision.unwrap().body).unwrap()
    }

    pub(crate) fn snapshot(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.engine.begin_snapshot();
        while self.engine.snapshot_part(1 << 20, &mut bytes) == SnapshotStatus::More {}
        bytes
    }
}
