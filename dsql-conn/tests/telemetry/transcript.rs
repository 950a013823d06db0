//! Writes down everything that is emitted on this thread.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The emitted spans and events. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transcript(Arc<Mutex<Vec<Entry>>>);

/// A span, or an event.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) is_span: bool,
    /// Of the span, or the message of the event.
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) level: tracing::Level,
    pub(crate) declared: Vec<&'static str>,
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// The names of the spans around it, the nearest first.
    pub(crate) within: Vec<&'static str>,
}

/// Where a span's entry is.
struct At(usize);

impl Transcript {
    /// Writes down what this thread emits until the guard is dropped.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        Self::start_at(LevelFilter::TRACE)
    }

    /// The same, of this level and above.
    pub(crate) fn start_at(level: LevelFilter) -> (Self, DefaultGuard) {
        // While only one subscriber exists, tracing asks only the first thread that reaches a span
        // or event whether it is wanted. A thread without a subscriber would turn it off for all
        // threads.
        static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| Dispatch::new(NoSubscriber::new()));

        let transcript = Self::default();
        let subscriber = tracing_subscriber::registry()
            .with(level)
            .with(transcript.clone());
        (transcript, tracing::subscriber::set_default(subscriber))
    }

    /// Returns the spans and events of this crate.
    pub(crate) fn ours(&self) -> Vec<Entry> {
        let mut entries = self.lock().clone();
        entries.retain(|entry| entry.target.starts_with("dsql_conn"));
        entries
    }

    /// The spans of this name.
    pub(crate) fn spans(&self, name: &str) -> Vec<Entry> {
        let mut entries = self.ours();
        entries.retain(|entry| entry.is_span && entry.name == name);
        entries
    }

    /// The events of this name.
    pub(crate) fn events(&self, name: &str) -> Vec<Entry> {
        let mut entries = self.ours();
        entries.retain(|entry| !entry.is_span && entry.name == name);
        entries
    }

    /// Returns everything as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        let entries = self.lock();
        entries.iter().map(|entry| format!("{entry:?}")).collect()
    }

    fn write(&self, entry: Entry) -> usize {
        let mut entries = self.lock();
        entries.push(entry);
        entries.len() - 1
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap()
    }
}

impl Entry {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn of(metadata: &Metadata<'static>, name: &str, is_span: bool) -> Self {
        let fields = metadata.fields().iter().map(|field| field.name());
        Self {
            is_span,
            name: name.to_owned(),
            target: metadata.target().to_owned(),
            level: *metadata.level(),
            declared: fields.collect(),
            fields: BTreeMap::new(),
            within: Vec::new(),
        }
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.name = format!("{value:?}"),
            name => drop(self.fields.insert(name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Transcript {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        let mut entry = Entry::of(metadata, metadata.name(), true);
        attributes.record(&mut entry);
        let span = context.span(id).unwrap();
        entry.within = span.scope().skip(1).map(|span| span.name()).collect();
        span.extensions_mut().insert(At(self.write(entry)));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        if let Some(At(at)) = span.extensions().get() {
            values.record(&mut self.lock()[*at]);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut entry = Entry::of(event.metadata(), "", false);
        event.record(&mut entry);
        let scope = context.event_scope(event).into_iter().flatten();
        entry.within = scope.map(|span| span.name()).collect();
        self.write(entry);
    }
}
