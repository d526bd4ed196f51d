use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc::{CRC_64_XZ, Crc, Table};
use md5::{Digest, Md5};

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// What is told of stored bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) md5: Vec<u8>,
    pub(super) crc64: u64,
}

impl Digests {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { md5: Md5::digest(bytes).to_vec(), crc64: CRC.checksum(bytes) }
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The same bytes but for one bit of the middle one.
pub(super) fn flipped(bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    let middle = changed.len() / 2;
    if let Some(byte) = changed.get_mut(middle) {
        *byte ^= 1;
    }
    changed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        let digests = Digests::of(b"123456789");
        assert_eq!(digests.crc64, 11_051_210_869_376_104_954);
        assert_eq!(hex(&digests.md5), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(from_base64("YWJj").as_deref(), Some(b"abc".as_slice()));
    }

    #[test]
    fn one_bit_is_flipped() {
        assert_eq!(flipped(&Bytes::from_static(b"abc")), Bytes::from_static(b"acc"));
        assert_eq!(flipped(&Bytes::new()), Bytes::new());
    }
}
