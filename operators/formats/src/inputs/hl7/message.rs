//! A message: its segments, their fields, and the texts in them.

use super::escapes::Delimiters;

const SEGMENT_NAME_BYTES: usize = 3;

/// A message.
#[derive(Debug)]
pub(super) struct Message<'m> {
    delimiters: Delimiters,
    charset: Charset,
    /// The segments, the header first.
    pub(super) segments: Vec<Segment<'m>>,
}

/// A segment, such as `PID`, and its fields.
#[derive(Debug)]
pub(super) struct Segment<'m> {
    /// The first is the name, so that numbers are those of the standard.
    fields: Vec<&'m [u8]>,
}

/// In what texts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Utf8,
    Latin1,
}

impl<'m> Message<'m> {
    /// # Errors
    /// Names what is wrong, and what to do.
    pub(super) fn parse(message: &'m [u8]) -> Result<Message<'m>, String> {
        let delimiters = Delimiters::of(message)?;
        // Where the standard's ends are there, others are text.
        let has_returns = message.contains(&b'\r');
        let mut segments = Vec::new();
        for line in message.split(|byte| *byte == if has_returns { b'\r' } else { b'\n' }) {
            let line = if has_returns { line.strip_prefix(b"\n").unwrap_or(line) } else { line };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let is_name = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            let is_segment = line.get(..SEGMENT_NAME_BYTES).is_some_and(is_name)
                && line.get(SEGMENT_NAME_BYTES).is_none_or(|byte| *byte == delimiters.field);
            if !is_segment {
                let number = segments.len() + 1;
                return Err(format!("has a segment {number} without a name; write line ends in texts as \\.br\\"));
            }
            segments.push(Segment::parse(line, &delimiters));
        }
        let mut message = Message { delimiters, charset: Charset::Utf8, segments };
        message.charset = message.declared_charset()?;
        Ok(message)
    }

    /// What MSH-18 declares; its first repetition is that of texts without switches.
    fn declared_charset(&self) -> Result<Charset, String> {
        let declared =
            self.text(self.header().repetitions(18, &self.delimiters).next().unwrap_or_default(), "MSH-18")?;
        match declared.trim() {
            "" | "ASCII" | "UNICODE UTF-8" | "UTF-8" => Ok(Charset::Utf8),
            "8859/1" => Ok(Charset::Latin1),
            _ => {
                Err("is in a character set in MSH-18 that is not read; convert it to UNICODE UTF-8 or 8859/1"
                    .to_owned())
            }
        }
    }

    /// `MSH`.
    pub(super) fn header(&self) -> &Segment<'m> {
        // What does not begin with it is no message.
        &self.segments[0]
    }

    /// The first segment of that name.
    pub(super) fn segment(&self, name: &str) -> Option<&Segment<'m>> {
        self.segments.iter().find(|segment| segment.is(name))
    }

    /// The text of a component of the first repetition of a field, trimmed; nothing where it is empty or said to be deleted (`""`).
    ///
    /// # Errors
    /// When it is not in the message's character set.
    pub(super) fn component(
        &self,
        segment: &Segment,
        field: usize,
        component: usize,
    ) -> Result<Option<String>, String> {
        let first = segment.repetitions(field, &self.delimiters).next().unwrap_or_default();
        self.component_of(segment, field, (first, component))
    }

    /// The same of any repetition of the field.
    pub(super) fn component_of(
        &self,
        segment: &Segment,
        field: usize,
        (repetition, component): (&[u8], usize),
    ) -> Result<Option<String>, String> {
        let mut components = repetition.split(|byte| *byte == self.delimiters.component);
        let raw = components.nth(component - 1).unwrap_or_default();
        // Of parts of a component, the first is what the others tell more about.
        let first = raw.split(|byte| *byte == self.delimiters.subcomponent).next().unwrap_or_default();
        let text = self.text(first, &format!("{}-{field}", segment.name()))?;
        Ok(Some(text.trim()).filter(|text| !text.is_empty() && *text != "\"\"").map(str::to_owned))
    }

    /// The repetitions of a field, as they stand.
    pub(super) fn repetitions(&self, segment: &Segment<'m>, field: usize) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        segment.repetitions(field, &self.delimiters)
    }

    /// What a field holds as lines of text: its repetitions are lines.
    ///
    /// # Errors
    /// When it is not in the message's character set.
    pub(super) fn lines(&self, segment: &Segment, field: usize) -> Result<String, String> {
        let name = format!("{}-{field}", segment.name());
        let repetitions = segment.repetitions(field, &self.delimiters);
        let lines: Vec<String> = repetitions.map(|raw| self.text(raw, &name)).collect::<Result<_, _>>()?;
        Ok(lines.join("\n"))
    }

    /// What `raw` says, decoded.
    fn text(&self, raw: &[u8], field: &str) -> Result<String, String> {
        let bytes = self.delimiters.unescape(raw).map_err(|what| format!("{field} {what}"))?;
        match self.charset {
            Charset::Latin1 => Ok(bytes.into_iter().map(char::from).collect()),
            Charset::Utf8 => String::from_utf8(bytes).map_err(|error| {
                let byte = error.utf8_error().valid_up_to();
                format!(
                    "{field} is not UTF-8 from its byte {byte} on; declare the character set in MSH-18, or convert it"
                )
            }),
        }
    }
}

impl<'m> Segment<'m> {
    fn parse(line: &'m [u8], delimiters: &Delimiters) -> Segment<'m> {
        let mut fields: Vec<&[u8]> = line.split(|byte| *byte == delimiters.field).collect();
        if let (b"MSH", Some(delimiter)) = (fields[0], line.get(SEGMENT_NAME_BYTES..=SEGMENT_NAME_BYTES)) {
            // The delimiter itself is the first field.
            fields.insert(1, delimiter);
        }
        Segment { fields }
    }

    /// Whether it is called so.
    pub(super) fn is(&self, name: &str) -> bool {
        self.fields[0] == name.as_bytes()
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'m str {
        std::str::from_utf8(self.fields[0]).unwrap_or_default()
    }

    fn repetitions(&self, field: usize, delimiters: &Delimiters) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let repetition = delimiters.repetition;
        self.fields.get(field).copied().unwrap_or_default().split(move |byte| *byte == repetition)
    }
}
