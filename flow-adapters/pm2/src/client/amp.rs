//! AMP version 1, the framing of both of PM2's sockets: `version<<4 | argc`, then for each argument its length as a
//! big-endian u32 and its bytes.
//!
//! Source: github.com/tj/node-amp, and what PM2 5 to 7 were seen to send.

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;

/// The largest frame that is read or written, in bytes. PM2 itself has no limit.
pub(crate) const FRAME_MAX: usize = 64 * 1024 * 1024;
/// The most arguments that a frame's first byte can count.
const ARGS_MAX: usize = 15;
const VERSION: u8 = 1;

/// Takes frames out of a stream that is cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Where what is read from the stream goes to.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame's arguments; none until more has been read.
    ///
    /// # Errors
    /// For another version and for a frame over the bound: the stream is of no more use then.
    pub(crate) fn frame(&mut self) -> Result<Option<Vec<Bytes>>, AmpError> {
        let Some(lengths) = self.lengths()? else { return Ok(None) };
        self.buffer.advance(1);
        let args = lengths.into_iter().map(|length| {
            self.buffer.advance(4);
            self.buffer.split_to(length).freeze()
        });
        Ok(Some(args.collect()))
    }

    /// The lengths of the arguments of the frame that the buffer begins with, if all of it is there.
    fn lengths(&self) -> Result<Option<Vec<usize>>, AmpError> {
        let Some((first, mut rest)) = self.buffer.split_first() else { return Ok(None) };
        if first >> 4 != VERSION {
            return Err(AmpError::Version(first >> 4));
        }
        let mut lengths = Vec::new();
        let mut total = 0_usize;
        for _ in 0..first & 0x0f {
            let Some((length, after)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            total = total.saturating_add(length);
            if total > FRAME_MAX {
                return Err(AmpError::TooLarge(total));
            }
            let Some(after) = after.get(length..) else { return Ok(None) };
            lengths.push(length);
            rest = after;
        }
        Ok(Some(lengths))
    }
}

/// Writes one frame.
///
/// # Errors
/// Where the bounds are exceeded: nothing that the other side could not read is ever written.
pub(crate) fn encode(args: &[Bytes]) -> Result<Bytes, AmpError> {
    let total = args.iter().fold(0_usize, |total, arg| total.saturating_add(arg.len()));
    if total > FRAME_MAX {
        return Err(AmpError::TooLarge(total));
    }
    let count = u8::try_from(args.len()).ok().filter(|count| usize::from(*count) <= ARGS_MAX);
    let count = count.ok_or(AmpError::TooMany(args.len()))?;
    let mut frame = BytesMut::with_capacity(1 + total + 4 * args.len());
    frame.extend_from_slice(&[VERSION << 4 | count]);
    for arg in args {
        // Below the bound, which is below u32's.
        frame.extend_from_slice(&u32::try_from(arg.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(arg);
    }
    Ok(frame.freeze())
}

/// A JSON argument.
pub(crate) fn json(value: &Value) -> Bytes {
    Bytes::from(format!("j:{value}"))
}

/// A text argument.
pub(crate) fn text(text: &str) -> Bytes {
    Bytes::from(format!("s:{text}"))
}

/// Reads a JSON argument; none where it is no JSON. What it says may be secret, so the reason is not given.
pub(crate) fn read_json(arg: &[u8]) -> Option<Value> {
    serde_json::from_slice(arg.strip_prefix(b"j:")?).ok()
}

/// Reads a text argument; a topic of the bus comes as bare bytes.
pub(crate) fn read_text(arg: &[u8]) -> Option<&str> {
    std::str::from_utf8(arg.strip_prefix(b"s:").unwrap_or(arg)).ok()
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AmpError {
    #[error("the frame is of version {0}, not 1: this is no daemon of PM2's")]
    Version(u8),
    #[error("the frame has {0} bytes, more than {FRAME_MAX}")]
    TooLarge(usize),
    #[error("the frame has {0} arguments, more than 15")]
    TooMany(usize),
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Everything that comes out of a stream that arrives in these pieces.
    fn decode<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Vec<Vec<Bytes>>, AmpError> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<Bytes>>> {
        let arg = vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        vec(vec(arg, 0..=ARGS_MAX), 0..5)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_wherever_the_stream_is_cut(frames in frames(), cuts in vec(any::<prop::sample::Index>(), 0..20)) {
            let stream: Vec<u8> = frames.iter().flat_map(|frame| encode(frame).unwrap()).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
            prop_assert_eq!(decode(pieces).unwrap(), frames.clone());
            prop_assert_eq!(decode(stream.chunks(1)).unwrap(), frames);
        }

        #[test]
        fn whatever_arrives_is_frames_or_an_error(stream in vec(any::<u8>(), 0..200)) {
            let _ = decode([stream.as_slice()]);
        }
    }

    #[test]
    fn a_recorded_call_is_written_byte_for_byte() {
        let call = r#"j:{"type":"call","method":"getVersion","args":[{}]}"#;
        let frame = encode(&[Bytes::from(call), text("7:0")]).unwrap();
        let mut wanted = vec![0x12, 0, 0, 0, 0x33];
        wanted.extend_from_slice(call.as_bytes());
        wanted.extend_from_slice(b"\0\0\0\x05s:7:0");
        assert_eq!(frame, wanted);
    }

    #[test]
    fn a_frame_over_the_bound_is_refused_at_its_length_and_never_written() {
        let length = u32::try_from(FRAME_MAX + 1).unwrap().to_be_bytes();
        let head = [&[0x11], length.as_slice()].concat();
        assert_eq!(decode([head.as_slice()]).unwrap_err(), AmpError::TooLarge(FRAME_MAX + 1));
        let half = u32::try_from(FRAME_MAX).unwrap().to_be_bytes();
        let two = [&[0x12, 0, 0, 0, 1, b'x'], half.as_slice()].concat();
        assert_eq!(decode([two.as_slice()]).unwrap_err(), AmpError::TooLarge(FRAME_MAX + 1));
        assert_eq!(encode(&vec![Bytes::new(); 16]).unwrap_err(), AmpError::TooMany(16));
        let large = Bytes::from(vec![0; FRAME_MAX + 1]);
        assert_eq!(encode(&[large]).unwrap_err(), AmpError::TooLarge(FRAME_MAX + 1));
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(decode([b"\x22".as_slice()]).unwrap_err(), AmpError::Version(2));
    }
}
