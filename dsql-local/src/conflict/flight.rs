//! Cuts flights into segments. A flight is the frames up to a `ReadyForQuery`. A statement that
//! begins or ends a transaction is a segment of its own, because the guard acts between segments.

use std::collections::HashMap;

use bytes::BytesMut;

use super::class::Class;
use super::rename::{self, Copied};
use crate::protocol::ending::Ending;
use crate::protocol::frame::{self, Frame};
use crate::sql::statement;

/// Part of a flight that the engine answers with one `ReadyForQuery`.
#[derive(Debug)]
pub(crate) struct Segment {
    frames: Vec<Frame>,
    pub(crate) class: Class,
    /// The text of its statements.
    pub(crate) text: String,
    /// Whether its `ReadyForQuery` goes to the client.
    pub(crate) is_last: bool,
    /// Whether the engine answers the segment with `ReadyForQuery`. After a Flush it does not.
    pub(crate) ends: bool,
}

/// The session's prepared statements and portals.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    prepared: HashMap<Vec<u8>, Prepared>,
    portals: HashMap<Vec<u8>, Prepared>,
}

#[derive(Debug, Clone)]
struct Prepared {
    class: Class,
    text: String,
    /// The parameter types of the Parse frame.
    types: Vec<u8>,
    /// The text that the engine has instead, with the names of copies.
    renamed: Option<String>,
}

impl Statements {
    /// Cuts a flight into segments.
    pub(crate) fn cut(&mut self, flight: Vec<Frame>) -> Result<Vec<Segment>, Ending> {
        if let [query] = &flight[..]
            && query.tag() == b'Q'
        {
            return cut_query(query);
        }
        let mut segments: Vec<Segment> = Vec::new();
        let mut segment = Segment::new();
        let mut has_executed = false;
        for frame in flight {
            match frame.tag() {
                b'P' => self.parsed(&frame)?,
                b'B' => {
                    let mut body = frame.body();
                    let portal = frame::take_string(&mut body)?.to_vec();
                    let name = frame::take_string(&mut body)?;
                    if let Some(prepared) = self.prepared.get(name) {
                        self.portals.insert(portal, prepared.clone());
                    } else {
                        self.portals.remove(&portal);
                    }
                }
                b'E' => {
                    let portal = frame::take_string(&mut frame.body())?;
                    let (class, text) = match self.portals.get(portal) {
                        Some(prepared) => (prepared.class, &prepared.text[..]),
                        None => (Class::Read, ""),
                    };
                    if has_executed && (class.is_control() || segment.class.is_control()) {
                        // The frames since the last Execute belong to this statement.
                        let last = segment.frames.iter().rposition(|frame| frame.tag() == b'E');
                        let own = segment.frames.split_off(last.map_or(0, |last| last + 1));
                        let ended = std::mem::replace(&mut segment, Segment::new());
                        segments.push(ended.with_sync());
                        segment.frames = own;
                    }
                    has_executed = true;
                    segment.class = segment.class.max(class);
                    segment.text.push_str(text);
                    segment.text.push('\n');
                }
                _ => {}
            }
            segment.ends = matches!(frame.tag(), b'S' | b'F');
            segment.frames.push(frame);
        }
        segment.is_last = true;
        segments.push(segment);
        Ok(segments)
    }

    fn parsed(&mut self, frame: &Frame) -> Result<(), Ending> {
        let mut body = frame.body();
        let name = frame::take_string(&mut body)?.to_vec();
        let text = String::from_utf8_lossy(frame::take_string(&mut body)?).into_owned();
        let class = statement::split(&text)
            .first()
            .map_or(Class::Read, Class::of);
        self.prepared.insert(
            name,
            Prepared {
                class,
                text,
                types: body.to_vec(),
                renamed: None,
            },
        );
        Ok(())
    }

    /// Prepares again the statements that a segment binds, if their tables have other names now.
    pub(crate) fn put_renamed(
        &mut self,
        segment: &Segment,
        copied: Option<&Copied>,
        out: &mut BytesMut,
    ) -> Result<(), Ending> {
        let mut parsed = Vec::new();
        for frame in &segment.frames {
            let mut body = frame.body();
            if frame.tag() == b'P' {
                parsed.push(frame::take_string(&mut body)?);
            } else if frame.tag() == b'B' {
                frame::take_string(&mut body)?;
                let name = frame::take_string(&mut body)?;
                let Some(prepared) = self.prepared.get_mut(name) else {
                    continue;
                };
                let text = copied.map_or_else(
                    || prepared.text.clone(),
                    |copied| copied.rename(&prepared.text),
                );
                let current = prepared.renamed.as_ref().unwrap_or(&prepared.text);
                if parsed.contains(&name) || *current == text {
                    continue;
                }
                frame::put(out, b'C', |out| {
                    out.extend_from_slice(b"S");
                    frame::put_string(out, name);
                });
                frame::put(out, b'P', |out| {
                    frame::put_string(out, name);
                    frame::put_string(out, text.as_bytes());
                    out.extend_from_slice(&prepared.types);
                });
                prepared.renamed = (text != prepared.text).then_some(text);
            }
        }
        if !out.is_empty() {
            frame::put(out, b'S', |_| {});
        }
        Ok(())
    }

    /// Returns the segment's bytes with the names of copies instead of tables.
    pub(crate) fn renamed(
        &mut self,
        segment: &Segment,
        copied: &Copied,
    ) -> Result<BytesMut, Ending> {
        let mut out = BytesMut::new();
        for frame in &segment.frames {
            let mut body = frame.body();
            match frame.tag() {
                b'Q' => {
                    let text = String::from_utf8_lossy(frame::take_string(&mut body)?);
                    put_query(&mut out, &copied.rename(&text));
                }
                b'P' => {
                    let name = frame::take_string(&mut body)?;
                    let text = String::from_utf8_lossy(frame::take_string(&mut body)?);
                    let renamed = copied.rename(&text);
                    if let Some(prepared) = self.prepared.get_mut(name) {
                        prepared.renamed = (renamed != text).then(|| renamed.clone());
                    }
                    frame::put(&mut out, b'P', |out| {
                        frame::put_string(out, name);
                        frame::put_string(out, renamed.as_bytes());
                        out.extend_from_slice(body);
                    });
                }
                _ => out.extend_from_slice(frame.bytes()),
            }
        }
        Ok(out)
    }
}

impl Segment {
    fn new() -> Self {
        Self {
            frames: Vec::new(),
            class: Class::Read,
            text: String::new(),
            is_last: false,
            ends: true,
        }
    }

    fn with_sync(mut self) -> Self {
        let mut sync = BytesMut::new();
        frame::put(&mut sync, b'S', |_| {});
        if let Ok(Some(sync)) = Frame::cut(&mut sync, usize::MAX) {
            self.frames.push(sync);
        }
        self.ends = true;
        self
    }

    /// Returns whether the segment executes a statement.
    pub(crate) fn executes(&self) -> bool {
        self.frames
            .iter()
            .any(|frame| matches!(frame.tag(), b'E' | b'Q'))
    }

    pub(crate) fn put(&self, out: &mut BytesMut) {
        for frame in &self.frames {
            out.extend_from_slice(frame.bytes());
        }
    }

    /// Writes a Close for each named statement that the segment prepares, so that it can be sent
    /// again. Returns how many.
    pub(crate) fn put_closes(&self, out: &mut BytesMut) -> Result<usize, Ending> {
        let mut closed = 0;
        for frame in self.frames.iter().filter(|frame| frame.tag() == b'P') {
            let name = frame::take_string(&mut frame.body())?;
            if !name.is_empty() {
                closed += 1;
                frame::put(out, b'C', |out| {
                    out.extend_from_slice(b"S");
                    frame::put_string(out, name);
                });
            }
        }
        Ok(closed)
    }
}

fn cut_query(query: &Frame) -> Result<Vec<Segment>, Ending> {
    let text = frame::take_string(&mut query.body())?;
    let text = String::from_utf8_lossy(text);
    let statements = statement::split(&text);
    let classes: Vec<_> = statements.iter().map(Class::of).collect();
    let one = |class| {
        Ok(vec![Segment {
            frames: vec![query.clone()],
            class,
            text: text.clone().into_owned(),
            is_last: true,
            ends: true,
        }])
    };
    let has_control = classes.iter().any(|class| class.is_control());
    if statements.len() < 2 || !has_control {
        return one(classes.into_iter().max().unwrap_or(Class::Read));
    }
    let mut groups: Vec<(Class, Vec<&str>)> = Vec::new();
    for (statement, class) in statements.iter().zip(classes) {
        match groups.last_mut() {
            Some((last, texts)) if !last.is_control() && !class.is_control() => {
                *last = (*last).max(class);
                texts.push(statement.text);
            }
            _ => groups.push((class, vec![statement.text])),
        }
    }
    let mut segments: Vec<_> = groups
        .into_iter()
        .map(|(class, texts)| {
            let text = texts.join("\n;");
            let mut out = BytesMut::new();
            put_query(&mut out, &text);
            let frames = Frame::cut(&mut out, usize::MAX).ok().flatten();
            Segment {
                frames: frames.into_iter().collect(),
                class,
                text,
                is_last: false,
                ends: true,
            }
        })
        .collect();
    if let Some(last) = segments.last_mut() {
        last.is_last = true;
    }
    Ok(segments)
}

pub(crate) fn put_query(out: &mut BytesMut, sql: &str) {
    frame::put(out, b'Q', |out| frame::put_string(out, sql.as_bytes()));
}

/// Removes SKIP LOCKED and NOWAIT from a flight's statements: the service has no locks that they
/// could skip.
pub(crate) fn without_lock_options(flight: &mut [Frame]) -> Result<(), Ending> {
    for frame in flight {
        if !matches!(frame.tag(), b'Q' | b'P') || !rename::mentions_lock_options(frame.body()) {
            continue;
        }
        let mut body = frame.body();
        let name = match frame.tag() {
            b'P' => Some(frame::take_string(&mut body)?),
            _ => None,
        };
        let text = String::from_utf8_lossy(frame::take_string(&mut body)?);
        let text = rename::without_lock_options(&text);
        let mut out = BytesMut::new();
        frame::put(&mut out, frame.tag(), |out| {
            if let Some(name) = name {
                frame::put_string(out, name);
            }
            frame::put_string(out, text.as_bytes());
            out.extend_from_slice(body);
        });
        if let Some(changed) = Frame::cut(&mut out, usize::MAX)? {
            *frame = changed;
        }
    }
    Ok(())
}
