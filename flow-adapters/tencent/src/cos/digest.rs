use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_64_XZ, Crc, Table};
use md5::{Digest as _, Md5};

use crate::signature::hex;

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// What identifies content on its way: length, MD5, and the storage's own CRC-64/XZ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// The number of bytes.
    pub length: u64,
    /// The MD5, which the storage compares with what it received.
    pub md5: [u8; 16],
    /// The CRC-64/XZ, which the storage tells of what it keeps.
    pub crc64: u64,
}

impl Digests {
    /// Those of `content`.
    ///
    /// ```
    /// assert_eq!(flow_tencent::Digests::of(b"123456789").crc64, 11_051_210_869_376_104_954);
    /// ```
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut digester = Digester::new();
        digester.update(content);
        digester.finish()
    }

    /// The value of a `Content-MD5` header.
    #[must_use]
    pub fn content_md5(&self) -> String {
        STANDARD.encode(self.md5)
    }

    /// The `ETag` that an object has whose content came in one piece, without quotes.
    #[must_use]
    pub fn etag(&self) -> String {
        hex(&self.md5)
    }

    /// Whether what the storage tells of an object is what these are of, or nothing where it tells nothing that could differ.
    ///
    /// Old and copied objects have no CRC-64; an `ETag` is an MD5 only where it looks like one.
    #[must_use]
    pub fn agree(&self, length: Option<u64>, etag: &str, crc64: Option<u64>) -> Option<bool> {
        if length.is_some_and(|length| length != self.length) {
            return Some(false);
        }
        let is_md5 = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match crc64 {
            Some(crc64) => Some(crc64 == self.crc64),
            None if is_md5 => Some(etag.eq_ignore_ascii_case(&self.etag())),
            None => length.map(|_| true),
        }
    }
}

/// Takes content piece by piece.
pub struct Digester {
    length: u64,
    md5: Md5,
    crc64: crc::Digest<'static, u64, Table<16>>,
}

impl Digester {
    /// One that has taken nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { length: 0, md5: Md5::new(), crc64: CRC.digest() }
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.length = self.length.saturating_add(piece.len() as u64);
        self.md5.update(piece);
        self.crc64.update(piece);
    }

    /// The digests of all that was taken.
    #[must_use]
    pub fn finish(self) -> Digests {
        Digests { length: self.length, md5: self.md5.finalize().into(), crc64: self.crc64.finalize() }
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digester").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for size in [1, 7, 4096, 65_537] {
            let mut digester = Digester::new();
            content.chunks(size).for_each(|piece| digester.update(piece));
            assert_eq!(digester.finish(), Digests::of(&content));
        }
    }

    #[test]
    fn the_published_check_values_come_out() {
        let digests = Digests::of(b"123456789");
        assert_eq!(digests.crc64, 0x995d_c9bb_df19_39fa);
        assert_eq!(digests.etag(), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(digests.content_md5(), "JfnnlDI7RTiF9RgfG2JNCw==");
        assert_eq!(Digests::of(b"").crc64, 0);
    }

    #[test]
    fn the_best_evidence_decides_and_none_is_no_agreement() {
        let digests = Digests::of(b"123456789");
        let md5 = digests.etag();
        assert_eq!(digests.agree(Some(9), "x-2", Some(digests.crc64)), Some(true));
        assert_eq!(digests.agree(Some(9), &md5, Some(1)), Some(false));
        assert_eq!(digests.agree(Some(8), &md5, Some(digests.crc64)), Some(false));
        assert_eq!(digests.agree(None, &md5.to_uppercase(), None), Some(true));
        assert_eq!(digests.agree(None, &"0".repeat(32), None), Some(false));
        assert_eq!(digests.agree(Some(9), "x-2", None), Some(true));
        assert_eq!(digests.agree(None, "x-2", None), None);
    }
}
