//! Five bytes before a datum.

/// The first byte of every framed value. No JSON begins with it.
const MAGIC: u8 = 0;

/// Bytes before the datum.
const HEADER_BYTES: usize = 5;

/// A value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A schema's id and a datum.
    Framed { id: u32, datum: &'a [u8] },
    /// Begins as framed values do and ends within the header.
    Cut,
    /// Not framed.
    Plain,
}

/// Takes a value apart.
pub(crate) fn unframe(value: &[u8]) -> Frame<'_> {
    match value.split_first_chunk::<HEADER_BYTES>() {
        Some(([MAGIC, id @ ..], datum)) => Frame::Framed { id: u32::from_be_bytes(*id), datum },
        None if value.first() == Some(&MAGIC) => Frame::Cut,
        _ => Frame::Plain,
    }
}

/// The header of a value that is written with schema `id`, for the datum to follow.
pub(crate) fn header(id: u32) -> Vec<u8> {
    let mut value = vec![MAGIC];
    value.extend(id.to_be_bytes());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_apart() {
        assert_eq!(unframe(b"\0\0\0\x01\x02{}"), Frame::Framed { id: 258, datum: b"{}" });
        assert_eq!(unframe(b"\0\xff\xff\xff\xff"), Frame::Framed { id: u32::MAX, datum: b"" });
        assert_eq!(unframe(b"\0\0\0\0"), Frame::Cut);
        assert_eq!(unframe(b"{}"), Frame::Plain);
        assert_eq!(unframe(b"{\"a\":1}"), Frame::Plain);
        assert_eq!(unframe(b""), Frame::Plain);
    }

    #[test]
    fn what_is_framed_is_taken_apart_again() {
        let mut value = header(7);
        value.extend(b"datum");
        assert_eq!(unframe(&value), Frame::Framed { id: 7, datum: b"datum" });
    }
}
