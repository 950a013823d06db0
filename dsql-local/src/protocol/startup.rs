//! The packet that opens a connection: a request for encryption or cancellation, or the startup
//! packet with its parameters.

use super::frame::{Malformed, take_string};

/// The first packet of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Startup {
    SslRequest,
    GssEncRequest,
    CancelRequest,
    Session(Parameters),
    /// A major protocol version other than 3.
    Unsupported,
}

/// The startup packet's parameters, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) minor_version: u16,
    pub(crate) pairs: Vec<(String, String)>,
}

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
    }
}

impl Startup {
    /// Parses the packet after its length.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let (code, rest) = body.split_first_chunk().ok_or(Malformed::Startup)?;
        match u32::from_be_bytes(*code) {
            80_877_103 => Ok(Self::SslRequest),
            80_877_104 => Ok(Self::GssEncRequest),
            80_877_102 => Ok(Self::CancelRequest),
            version if version >> 16 == 3 => Ok(Self::Session(Parameters {
                minor_version: (version & 0xffff) as u16,
                pairs: pairs(rest)?,
            })),
            _ => Ok(Self::Unsupported),
        }
    }
}

fn pairs(mut rest: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut pairs = Vec::new();
    loop {
        let name = take_string(&mut rest)?;
        if name.is_empty() {
            return if rest.is_empty() {
                Ok(pairs)
            } else {
                Err(Malformed::Startup)
            };
        }
        let value = take_string(&mut rest)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Startup);
        pairs.push((text(name)?, text(value)?));
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{mutated, walk};
    use crate::protocol::frame::put_string;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            check(&bytes);
        }

        #[test]
        fn written_packets_parse_to_the_same_values(
            minor_version in any::<u16>(),
            pairs in prop::collection::vec(("[^\0]{1,9}", "[^\0]{0,9}"), 0..5),
        ) {
            let mut packet = BytesMut::new();
            packet.put_u16(3);
            packet.put_u16(minor_version);
            for (name, value) in &pairs {
                put_string(&mut packet, name.as_bytes());
                put_string(&mut packet, value.as_bytes());
            }
            packet.put_u8(0);
            let Ok(Startup::Session(parameters)) = Startup::parse(&packet) else {
                panic!("{packet:?}");
            };
            for (name, _) in &pairs {
                let first = pairs.iter().find(|pair| pair.0 == *name).unwrap();
                prop_assert_eq!(parameters.get(name), Some(first.1.as_str()));
            }
            prop_assert_eq!(parameters, Parameters { minor_version, pairs });
        }

        #[test]
        fn no_mutated_packet_panics(packet in mutated("startup")) {
            check(&packet);
        }
    }

    #[test]
    fn mutations_of_the_corpus_never_panic() {
        walk("startup", check);
    }

    /// Checks that the parsed values account for every byte of the packet.
    fn check(packet: &[u8]) {
        if let Ok(Startup::Session(parameters)) = Startup::parse(packet) {
            let length = |(name, value): &(String, String)| name.len() + value.len() + 2;
            let pairs = parameters.pairs.iter().map(length).sum::<usize>();
            assert_eq!(4 + pairs + 1, packet.len());
        }
    }
}
