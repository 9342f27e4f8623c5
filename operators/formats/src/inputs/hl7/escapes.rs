//! Delimiters and what stands in their place within texts: the escape sequences of HL7 v2 (chapter 2, "Use of escape sequences in text
//! fields").
//!
//! Bytes are decoded before characters are: `\XC3\\XA9\` is one character of UTF-8 in two sequences.

/// What separates what in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delimiters {
    pub(super) field: u8,
    pub(super) component: u8,
    pub(super) repetition: u8,
    pub(super) escape: u8,
    pub(super) subcomponent: u8,
}

/// Blank lines or spaces that a sequence asks for at most.
const SKIPPED_MAX: usize = 999;

/// Bytes of a sequence at most, for one that is no run of hexadecimal digits.
const SEQUENCE_BYTES_MAX: usize = 16;

impl Delimiters {
    /// Those that `MSH` declares in front of `message`.
    ///
    /// # Errors
    /// When it declares none, or the same for two purposes.
    pub(super) fn of(message: &[u8]) -> Result<Delimiters, &'static str> {
        let [b'M', b'S', b'H', field, declared @ ..] = message else { return Err("does not begin with MSH") };
        let end = declared.iter().position(|byte| byte == field || matches!(byte, b'\r' | b'\n'));
        let declared = &declared[..end.unwrap_or(declared.len())];
        // Senders leave out what they do not need.
        let or = |index: usize, usual: u8| declared.get(index).copied().unwrap_or(usual);
        let delimiters = Delimiters {
            field: *field,
            component: or(0, b'^'),
            repetition: or(1, b'~'),
            escape: or(2, b'\\'),
            subcomponent: or(3, b'&'),
        };
        let mut all = delimiters.all();
        all.sort_unstable();
        let is_usable = |byte: &u8| byte.is_ascii_punctuation();
        let are_usable = all.iter().all(is_usable) && all.windows(2).all(|pair| pair[0] != pair[1]);
        if declared.is_empty() || !are_usable {
            return Err("declares no delimiters in MSH-1 and MSH-2, such as |^~\\&");
        }
        Ok(delimiters)
    }

    fn all(&self) -> [u8; 5] {
        [self.field, self.component, self.repetition, self.escape, self.subcomponent]
    }

    /// The bytes that `raw` stands for. What is no sequence stays as it is, so that a lone escape character loses nothing.
    ///
    /// # Errors
    /// When a sequence switches to another character set.
    pub(super) fn unescape(&self, raw: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut bytes = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.iter().position(|byte| *byte == self.escape) {
            let (before, from) = rest.split_at(at);
            bytes.extend_from_slice(before);
            let after = &from[1..];
            let sequence = self.sequence(after);
            rest = match sequence.map(|sequence| self.decode(sequence, &mut bytes)).transpose()? {
                Some(true) => &after[sequence.map_or(0, <[u8]>::len) + 1..],
                Some(false) | None => {
                    bytes.push(self.escape);
                    after
                }
            };
        }
        bytes.extend_from_slice(rest);
        Ok(bytes)
    }

    /// What stands in `after` before the next escape character, if that may be a sequence.
    fn sequence<'r>(&self, after: &'r [u8]) -> Option<&'r [u8]> {
        let is_hexadecimal = after.first() == Some(&b'X');
        let within = if is_hexadecimal { after } else { &after[..after.len().min(SEQUENCE_BYTES_MAX + 1)] };
        let end = within.iter().position(|byte| *byte == self.escape)?;
        Some(&within[..end])
    }

    /// Adds what a sequence stands for; false where it is none.
    fn decode(&self, sequence: &[u8], bytes: &mut Vec<u8>) -> Result<bool, &'static str> {
        match sequence {
            b"F" => bytes.push(self.field),
            b"S" => bytes.push(self.component),
            b"T" => bytes.push(self.subcomponent),
            b"R" => bytes.push(self.repetition),
            b"E" => bytes.push(self.escape),
            // The beginning and end of what is to be highlighted, and layout that a text without columns cannot have.
            b"H" | b"N" | b".fi" | b".nf" => {}
            b".br" | b".ce" => bytes.push(b'\n'),
            [b'X', digits @ ..] => match from_hexadecimal(digits) {
                Some(decoded) => bytes.extend(decoded),
                None => return Ok(false),
            },
            [b'.', b's', b'p', count @ ..] => return Ok(skip(count, b'\n', bytes)),
            [b'.', b's', b'k', count @ ..] => return Ok(skip(count, b' ', bytes)),
            // An indent.
            [b'.', b'i' | b't', b'n' | b'i', count @ ..] => return Ok(number(count).is_some()),
            [b'C' | b'M', digits @ ..] if matches!(digits.len(), 4 | 6) && from_hexadecimal(digits).is_some() => {
                return Err("switches to another character set, which is not read; convert the message to UTF-8");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Adds so many; one where nothing is said.
fn skip(count: &[u8], byte: u8, bytes: &mut Vec<u8>) -> bool {
    let count = number(count);
    bytes.extend(std::iter::repeat_n(byte, count.unwrap_or(0)));
    count.is_some()
}

/// `3`, `+3`, or nothing, which is 1.
fn number(digits: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(digits).ok()?.trim();
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if digits.is_empty() { Some(1) } else { digits.parse().ok().filter(|count| *count <= SKIPPED_MAX) }
}

/// At least one byte in pairs of digits.
fn from_hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let pair = |pair: &[u8]| Some((value(pair[0])? * 16 + value(*pair.get(1)?)?) as u8);
    if digits.is_empty() { None } else { digits.chunks(2).map(pair).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USUAL: Delimiters =
        Delimiters { field: b'|', component: b'^', repetition: b'~', escape: b'\\', subcomponent: b'&' };

    /// As a sender writes a text: delimiters and control characters as sequences.
    fn escape(text: &str, delimiters: &Delimiters) -> Vec<u8> {
        let mut escaped = Vec::new();
        for byte in text.bytes() {
            let name = delimiters.all().iter().position(|delimiter| *delimiter == byte);
            match name {
                Some(name) => escaped.extend([delimiters.escape, b"FSRET"[name], delimiters.escape]),
                None if byte == b'\n' => {
                    escaped.push(delimiters.escape);
                    escaped.extend(b".br");
                    escaped.push(delimiters.escape);
                }
                None if byte < 0x20 => {
                    escaped.push(delimiters.escape);
                    escaped.extend(format!("X{byte:02X}").into_bytes());
                    escaped.push(delimiters.escape);
                }
                None => escaped.push(byte),
            }
        }
        escaped
    }

    fn check(raw: &str, expected: &str) {
        let bytes = USUAL.unescape(raw.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{raw}");
    }

    #[test]
    fn sequences_stand_for_what_the_standard_says() {
        check(r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f");
        check(r"one\.br\two\.sp\three\.sp2\four\.sp+3\five", "one\ntwo\nthree\n\nfour\n\n\nfive");
        check(r"\H\bold\N\ \.in+4\in\.ti-2\\.nf\\.fi\", "bold in");
        check(r"a\.sk3\b\.ce\c", "a   b\nc");
        check(r"\X0D0A\x\XC3\\XA9\y\Xc3a9\", "\r\nx\u{e9}y\u{e9}");
    }

    #[test]
    fn what_is_no_sequence_stays() {
        check(r"C:\temp\notes", r"C:\temp\notes");
        check(r"a\b and \T\ c", r"a\b and & c");
        check(r"\X\ \XA\ \XZZ\ \.sp9999\ \Q\ \.spx\ \", r"\X\ \XA\ \XZZ\ \.sp9999\ \Q\ \.spx\ \");
        check(r"\F", r"\F");
        check(r"\F\\F\", "||");
        check("", "");
    }

    #[test]
    fn another_character_set_is_refused() {
        for sequence in [r"\C2842\", r"\M2442\", r"\M244228\"] {
            assert!(USUAL.unescape(sequence.as_bytes()).unwrap_err().starts_with("switches to another character set"));
        }
        check(r"\MRSA\ \CODE\", r"\MRSA\ \CODE\");
    }

    #[test]
    fn delimiters_are_those_that_the_message_declares() {
        let of = |message: &str| Delimiters::of(message.as_bytes());
        assert_eq!(of("MSH|^~\\&|EPIC"), Ok(USUAL));
        assert_eq!(of("MSH|^~\\&#|EPIC"), Ok(USUAL));
        assert_eq!(of("MSH|^~\\\r"), Ok(USUAL));
        assert_eq!(of("MSH|^~\\||"), Ok(USUAL));
        let others = Delimiters { field: b'#', component: b'*', repetition: b'@', escape: b'!', subcomponent: b'%' };
        assert_eq!(of("MSH#*@!%#EPIC"), Ok(others));
        for wrong in ["", "MSH", "MSH|", "MSH||EPIC", "MSHa^~\\&a", "MSH|^^\\&|", "PID|1", "MSH|^~\\ |"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    fn delimiters() -> impl Strategy<Value = Delimiters> {
        Just(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".to_vec()).prop_shuffle().prop_map(|all| Delimiters {
            field: all[0],
            component: all[1],
            repetition: all[2],
            escape: all[3],
            subcomponent: all[4],
        })
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(text in "(\\PC|[|^~\\\\&!#XFSTRE.\n\r\t0-9]){0,60}", delimiters in delimiters()) {
            // `.br` has a delimiter in it where the full stop is one: such a message writes line ends as bytes.
            prop_assume!(!delimiters.all().contains(&b'.') || !text.contains('\n'));
            let escaped = escape(&text, &delimiters);
            prop_assert_eq!(String::from_utf8(delimiters.unescape(&escaped).unwrap()).unwrap(), text);
        }

        #[test]
        fn nothing_that_is_sent_panics(raw in proptest::collection::vec(any::<u8>(), 0..80), delimiters in delimiters()) {
            let _bytes = delimiters.unescape(&raw);
        }
    }
}
