//! Rows of the journal as lines for people. They say nothing of what is in a payload.

use std::fmt;

use crate::codec::PacketFields;

use super::journal::{JournalQuery, JournalRow, PacketRow, RowKind};
use super::rule::Direction;

/// `12 car1 -> PUBLISH cars/1 qos 1 id 7, 23 bytes [lost: drop]`: from the client, with its number, its identifiers,
/// its size, and what a rule did.
impl fmt::Display for JournalRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client.as_deref().unwrap_or(&self.peer);
        match &self.what {
            RowKind::Event { name, text, .. } => {
                write!(f, "{:>5} {client} {name}", self.number)?;
                match text.is_empty() {
                    true => Ok(()),
                    false => write!(f, ": {text}"),
                }
            }
            RowKind::Packet(packet) => {
                write!(f, "{:>5} {client} {packet}", self.number)
            }
        }
    }
}

impl fmt::Display for PacketRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            Direction::In => "-> ",
            Direction::Out => "<- ",
        })?;
        match self.packet_type {
            Some(packet_type) => write!(f, "{packet_type}")?,
            None => f.write_str("bytes that are no packet")?,
        }
        if let Some(fields) = self.packet() {
            write_fields(f, &fields)?;
        }
        write!(f, ", {} bytes", self.len)?;
        match (&self.rule, self.deed) {
            (Some(rule), Some(deed)) => write!(f, " [{rule}: {deed}]"),
            _ => Ok(()),
        }
    }
}

/// In words: `PUBLISH, topic cars/+, qos 1`, or `connected`.
impl fmt::Display for JournalQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.event {
            Some(event) => write!(f, "'{event}'")?,
            None => write!(f, "{}", self.matches)?,
        }
        match &self.matches.client {
            Some(client) => write!(f, " of client '{client}'"),
            None => Ok(()),
        }
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &PacketFields) -> fmt::Result {
    if let Some(topic) = &fields.topic {
        write!(f, " {topic} qos {}", fields.qos)?;
        f.write_str(if fields.retain { " retain" } else { "" })?;
        f.write_str(if fields.dup { " dup" } else { "" })?;
    }
    for filter in &fields.filters {
        write!(f, " {}", filter.filter)?;
    }
    if let Some(packet_id) = fields.packet_id {
        write!(f, " id {packet_id}")?;
    }
    if let Some(reason) = fields.reason {
        write!(f, " reason {reason:#04x}")?;
    }
    for reason in &fields.reasons {
        write!(f, " {reason:#04x}")?;
    }
    Ok(())
}
