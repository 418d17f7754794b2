//! The connector of the test kit passes the suite that every connector passes.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic, and knows its numbers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use kronos_core::testing::{ConnectorFixture, MemorySource, Subject, connector_conformance};
use std::sync::Mutex;

#[derive(Debug, Default)]
struct Memory {
    made: Mutex<Vec<MemorySource>>,
    count: AtomicU32,
}

impl Memory {
    fn make(&self, name: &str) -> Subject {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let source = MemorySource::new(&format!("{name}-{number}")).with_proofs();
        self.made.lock().unwrap().push(source.clone());
        Subject { connector: Arc::new(source), place: number.to_string() }
    }

    fn of(&self, subject: &Subject) -> MemorySource {
        self.made.lock().unwrap()[subject.place.parse::<usize>().unwrap()].clone()
    }
}

#[async_trait]
impl ConnectorFixture for Memory {
    async fn source(&self) -> Subject {
        let subject = self.make("source");
        let source = self.of(&subject);
        source.set("a", vec![1; 5_000]);
        source.set("b", vec![2; 10]);
        subject
    }

    async fn mutate(&self, source: &Subject) {
        let source = self.of(source);
        let mut bytes = source.contents()["a"].to_vec();
        bytes[100] += 1;
        source.set("a", bytes);
    }

    async fn empty_target(&self) -> Subject {
        self.make("target")
    }

    async fn contents(&self, subject: &Subject) -> String {
        format!("{:?}", self.of(subject).contents())
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    connector_conformance(&Memory::default()).await;
}
