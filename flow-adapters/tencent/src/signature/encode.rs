use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same, but a path's slashes stay.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// `text` with everything reserved as `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A path with everything reserved but its slashes as `%XX`.
pub(crate) fn encoded_path(path: &str) -> String {
    utf8_percent_encode(path, RESERVED_IN_PATH).to_string()
}

/// What was encoded, or nothing where it is no UTF-8.
pub(crate) fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot end badly.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_unreserved_characters_stay_as_they_are() {
        assert_eq!(encoded("aZ09-_.~ /+*'()!é"), "aZ09-_.~%20%2F%2B%2A%27%28%29%21%C3%A9");
        assert_eq!(encoded_path("/a b/c"), "/a%20b/c");
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_to_itself(text in any::<String>()) {
            let (whole, path) = (encoded(&text), encoded_path(&text));
            prop_assert!(whole.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decoded(&whole), Some(text.clone()));
            prop_assert_eq!(decoded(&path), Some(text));
        }
    }
}
