//! The mock joins the suite that every connector passes.
#![cfg(feature = "mocks")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kronos_connectors::mock::{MockSettings, MockSource};
use kronos_core::testing::{ConnectorFixture, Subject, connector_conformance};

#[derive(Debug)]
struct Mocks {
    settings: MockSettings,
    made: Mutex<Vec<MockSource>>,
}

impl Mocks {
    fn make(&self, mut settings: MockSettings) -> Subject {
        let mut made = self.made.lock().unwrap();
        settings.name = format!("mock-{}", made.len());
        let source = MockSource::new(settings).unwrap();
        made.push(source.clone());
        Subject { connector: Arc::new(source), place: (made.len() - 1).to_string() }
    }

    fn of(&self, subject: &Subject) -> MockSource {
        self.made.lock().unwrap()[subject.place.parse::<usize>().unwrap()].clone()
    }
}

#[async_trait]
impl ConnectorFixture for Mocks {
    async fn source(&self) -> Subject {
        self.make(self.settings.clone())
    }

    async fn mutate(&self, source: &Subject) {
        self.of(source).advance();
    }

    async fn empty_target(&self) -> Subject {
        self.make(MockSettings::empty("mock"))
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

async fn conforms(settings: MockSettings) {
    connector_conformance(&Mocks { settings, made: Mutex::default() }).await;
}

#[tokio::test]
async fn cut_at_pages() {
    conforms(MockSettings::new("mock").with_streams(3).with_size(700_001).with_pages(4096)).await;
}

#[tokio::test]
async fn cut_by_content_with_proofs() {
    conforms(MockSettings::new("mock").with_streams(2).with_size(300_000).with_change(0.5).with_proofs()).await;
}
