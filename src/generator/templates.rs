//! The sentences of the generated notes.
//!
//! A name in braces is filled in by the writer; those that become annotated mentions are `{disease}`, the next condition of the
//! patient; `{drug}`, one for the disease that was named last, `{drug_order}` the same with its dose; `{drug2}`, another drug;
//! `{order}`, the next of all drugs of the patient with its dose; `{symptom}`, the next symptom of the patient; `{its_disease}`,
//! what the last drug is for or the last symptom comes from; `{other}` and `{absent}`, a disease and a symptom that the patient does not have. Mentions that are negated, hypothetical or of relatives are
//! annotated too, as what is extracted is mentions. Outside the braces no sentence names a disease, a drug or a symptom, so that the
//! reference is complete.

/// One part of a note.
pub(super) struct Section {
    /// Its headings, one of which is used; an empty one stands for no heading.
    pub(super) headings: &'static [&'static str],
    /// How many of its sentences are used, at least and at most.
    pub(super) sentences: (u64, u64),
    /// Whether each sentence stands on its own line, as an item of a list.
    pub(super) list: bool,
    /// The sentences to choose from.
    pub(super) templates: &'static [&'static str],
}

/// A kind of note.
pub(super) struct NoteType {
    /// As it stands in the record.
    pub(super) name: &'static str,
    /// How often it comes, relative to the others.
    pub(super) weight: u64,
    /// Its parts, in order.
    pub(super) sections: &'static [Section],
}

const HISTORY: Section = Section {
    headings: &["HPI:\n", "History of present illness: ", "HISTORY\n", "Subjective:\n"],
    sentences: (2, 5),
    list: false,
    templates: &[
        "{age} y/o {sex} w/ {disease} and {disease} c/o {symptom} for {days} days.",
        "Patient is {age} years old ({sex}) with a history of {disease} who presents with {symptom} and {symptom}.",
        "Pt reports {symptom} since {weekday}, worse at night; denies {absent} or {absent}.",
        "Onset of {symptom} was gradual, and it has not improved with {drug}.",
        "“I have had {symptom} for about {days} days,” the patient says.",
        "Denies {absent}, {absent} and {absent}.",
        "Known {disease}, previously controlled on {drug}, last seen {weeks} weeks ago by Dr. {clinician}.",
        "S/p admission {weeks} weeks ago for {disease}; {drug} was started then.",
        "Ran out of {drug} {days} days ago and since then has noted {symptom}.",
        "There has been no {absent}, and the {symptom} resolved with {drug}.",
        "The family is concerned about {symptom} – first noticed {days} days ago.",
        "No sick contacts. No {absent}.",
    ],
};

const PAST_HISTORY: Section = Section {
    headings: &["PMH:\n", "Past medical history:\n", "PAST MEDICAL HISTORY\n"],
    sentences: (2, 3),
    list: true,
    templates: &[
        "{disease}",
        "{disease}, on {drug}",
        "{disease} (dx {year})",
        "{disease} – followed by Dr. {clinician}",
        "{disease}, well controlled",
        "h/o {disease}, no recurrence since {year}",
    ],
};

const MEDICATION_LIST: Section = Section {
    headings: &["Medications:\n", "MEDS\n", "Current medications:\n", "Home meds:\n"],
    sentences: (3, 6),
    list: true,
    templates: &[
        "{order}",
        "{order}",
        "{order}",
        "{order} (for {its_disease})",
        "{order} – last dose this morning",
        "{order}, held on admission",
    ],
};

const ALLERGIES: Section = Section {
    headings: &["Allergies: "],
    sentences: (1, 1),
    list: false,
    templates: &["NKDA.", "{drug} ({symptom}).", "{drug}, reaction unknown.", "None known."],
};

const FAMILY: Section = Section {
    headings: &["Family history: ", "FH: "],
    sentences: (1, 2),
    list: false,
    templates: &[
        "Mother with {other}, father with {disease}.",
        "No family history of {other}.",
        "Sister was diagnosed with {other} in {year}.",
        "Maternal grandfather died of {other}.",
        "Maternal aunt: {other}.",
    ],
};

const REVIEW: Section = Section {
    headings: &["ROS: ", "Review of systems: "],
    sentences: (2, 4),
    list: false,
    templates: &[
        "Positive for {symptom} and {symptom}.",
        "Negative for {absent}, {absent} and {absent}.",
        "Pertinent negatives: {absent}, {absent}.",
        "Also denies {absent}.",
        "+{symptom}, no {absent}.",
        "All other systems reviewed and negative.",
        "No {absent}, no {absent}.",
    ],
};

const VITALS: Section = Section {
    headings: &["Vitals: ", "VS: "],
    sentences: (1, 1),
    list: false,
    templates: &[
        "T {temperature} °C, BP {systolic}/{diastolic}, HR {pulse}, RR {breaths}, SpO₂ {saturation}% on room air.",
        "BP {systolic}/{diastolic} mmHg, pulse {pulse}, resp {breaths}, temp {temperature} °C, sat {saturation}%.",
        "Temp {temperature} °C; HR {pulse}–{pulse2}, BP {systolic}/{diastolic}, SpO₂ {saturation}% on {litres} L.",
    ],
};

const EXAM: Section = Section {
    headings: &["Exam:\n", "Physical exam: ", "O/E: "],
    sentences: (2, 4),
    list: false,
    templates: &[
        "Alert and oriented × 3.",
        "Lungs clear bilaterally.",
        "Heart sounds normal.",
        "Abdomen soft, bowel sounds present.",
        "Notable for {symptom}, otherwise unremarkable.",
        "Exam is consistent with {disease}.",
        "Gait steady.",
        "{symptom} unchanged since the last visit.",
    ],
};

const RESULTS: Section = Section {
    headings: &["Labs: ", "Results: ", "Data:\n"],
    sentences: (1, 3),
    list: false,
    templates: &[
        "Na {sodium} mmol/L, K {potassium} mmol/L, Cr {creatinine} mg/dL.",
        "WBC {white}, Hgb {hemoglobin} g/dL, Plt {platelets}.",
        "Creatinine {creatinine} mg/dL (≈ baseline).",
        "Ferritin {ferritin} µg/L; CRP {crp} mg/L.",
        "ECG: sinus rhythm, rate {pulse}.",
        "Screen for {other} negative.",
    ],
};

const PLAN: Section = Section {
    headings: &["A/P:\n", "Assessment and plan:\n", "Impression and plan:\n", "Plan:\n"],
    sentences: (3, 6),
    list: true,
    templates: &[
        "{disease}: continue {drug}, recheck in {weeks} weeks.",
        "{disease}: start {drug_order}.",
        "{disease}: stable on {drug}.",
        "{symptom}: likely due to {its_disease}; trial of {drug}.",
        "{disease} – increase {drug}; return if {absent} or {absent}.",
        "R/o {other}; labs sent.",
        "{symptom} improving. Hold {drug} today.",
        "{disease}: d/c {drug} given new {absent}.",
        "Doubt {other} given no {absent}.",
        "Follow-up with Dr. {clinician} in {weeks} weeks re {disease}.",
        "Counselled on {disease}; handout given.",
    ],
};

const SIGNATURE: Section = Section {
    headings: &["\n"],
    sentences: (1, 1),
    list: false,
    templates: &[
        "Dr. {clinician}",
        "Signed electronically: {clinician}, MD",
        "— {clinician}, RN",
        "Dictated by {clinician}, not yet proofread",
    ],
};

/// The days of a hospital stay, of which a long discharge summary has many.
pub(super) const HOSPITAL_DAY: Section = Section {
    headings: &["Hospital day {day}: "],
    sentences: (3, 5),
    list: false,
    templates: &[
        "Overnight the patient developed {symptom}, which responded to {drug}.",
        "{disease} was treated with {drug_order}.",
        "The team considered {other}, but the work-up was unremarkable.",
        "No further {absent} was reported.",
        "{drug} was stopped because of {absent}, {drug2} was continued.",
        "BP {systolic}/{diastolic}, HR {pulse}, temp {temperature} °C.",
        "Seen by Dr. {clinician} for {disease}, who advised continuing {drug}.",
        "Cr {creatinine} mg/dL, Hgb {hemoglobin} g/dL, otherwise labs unchanged.",
        "The patient walked {metres} m with physiotherapy and tolerated a regular diet.",
        "{symptom} persisted but was milder than on admission.",
    ],
};

const ADMISSION: Section = Section {
    headings: &["DISCHARGE SUMMARY\n", "Discharge summary – "],
    sentences: (2, 3),
    list: false,
    templates: &[
        "Admitted with {symptom} and found to have {its_disease}.",
        "Principal diagnosis: {disease}.",
        "Secondary diagnoses: {disease}, {disease}.",
        "{age}-year-old {sex} with {disease} transferred from an outside hospital for {symptom}.",
    ],
};

const DISCHARGE: Section = Section {
    headings: &["Discharge instructions: ", "Disposition: "],
    sentences: (2, 3),
    list: false,
    templates: &[
        "Return to the ED for {absent}, {absent} or worsening {symptom}.",
        "Take {order} until seen in clinic.",
        "Stop {drug}.",
        "Follow up with Dr. {clinician} in {weeks} weeks for {disease}.",
        "Home with services, condition good.",
    ],
};

const TRIAGE: Section = Section {
    headings: &["CC: ", "Triage: "],
    sentences: (1, 1),
    list: false,
    templates: &[
        "{symptom}.",
        "{symptom} × {days} days.",
        "{symptom} and {symptom}, hx {disease}.",
        "BIBA with {symptom}.",
    ],
};

const SHIFT: Section = Section {
    headings: &["Shift note {hour}:00. ", "Nursing: "],
    sentences: (3, 6),
    list: false,
    templates: &[
        "Pt resting comfortably, c/o mild {symptom}; {drug} given at {hour}:{minute} with good effect.",
        "Denies {absent}.",
        "{order} administered as charted.",
        "Refused {drug} this evening, MD aware.",
        "Ambulated × {days} with assistance, no {absent}.",
        "{symptom} noted at {hour}:{minute}, Dr. {clinician} paged.",
        "Family at bedside, asking about {disease}.",
        "Intake {intake} mL, output {intake} mL.",
        "Education on {drug} provided; verbalises understanding.",
    ],
};

const SALUTATION: Section = Section {
    headings: &["Dear Dr. {clinician},\n\n", "Dear colleague,\n\n"],
    sentences: (2, 3),
    list: false,
    templates: &[
        "Thank you for referring this {age}-year-old {sex} with {disease}.",
        "I reviewed your patient in clinic today for {disease} and {disease}.",
        "The main concern remains {symptom}, with occasional {symptom}.",
        "As you know, {disease} has been treated with {drug} since {year}.",
        "There is no evidence of {other} at present.",
    ],
};

const CLOSING: Section = Section {
    headings: &["\n"],
    sentences: (2, 3),
    list: false,
    templates: &[
        "I suggest continuing {order}.",
        "Should {absent} occur, please stop {drug}.",
        "I would be grateful if you could monitor the {disease} in primary care.",
        "We agreed to a trial of {drug} for the {symptom}.",
        "I have arranged review in {weeks} weeks – sooner if {absent} develops.",
    ],
};

const REGARDS: Section = Section {
    headings: &["\nWith kind regards,\n", "\nYours sincerely,\n"],
    sentences: (1, 1),
    list: false,
    templates: &["Dr. {clinician}", "{clinician}, MD"],
};

const INDICATION: Section = Section {
    headings: &["INDICATION: ", "Clinical information: "],
    sentences: (1, 1),
    list: false,
    templates: &[
        "{symptom}, r/o {its_disease}.",
        "{age} y/o {sex} with {symptom}.",
        "{disease}, now {symptom}.",
        "Evaluate for {other}.",
    ],
};

const FINDINGS: Section = Section {
    headings: &["FINDINGS: ", "Findings:\n"],
    sentences: (2, 4),
    list: false,
    templates: &[
        "The heart size is normal.",
        "No focal opacity.",
        "No change to suggest {other}.",
        "Appearances are stable in this patient with known {disease}.",
        "The visualised bones are intact.",
        "Contrast given after {drug} premedication, without {absent}.",
        "Comparison: {year}.",
        "A {millimetres} mm focus is unchanged.",
    ],
};

const IMPRESSION: Section = Section {
    headings: &["IMPRESSION: ", "Conclusion: "],
    sentences: (1, 2),
    list: false,
    templates: &[
        "Clinical correlation with {disease} is advised.",
        "No evidence of {other}.",
        "{disease} cannot be excluded.",
        "No acute abnormality to explain the {symptom}.",
    ],
};

/// The kinds of notes.
pub(super) const NOTE_TYPES: &[NoteType] = &[
    NoteType {
        name: "progress_note",
        weight: 26,
        sections: &[HISTORY, PAST_HISTORY, MEDICATION_LIST, REVIEW, VITALS, EXAM, RESULTS, PLAN, SIGNATURE],
    },
    NoteType {
        name: "discharge_summary",
        weight: 16,
        sections: &[
            ADMISSION,
            PAST_HISTORY,
            ALLERGIES,
            HISTORY,
            HOSPITAL_DAY,
            RESULTS,
            MEDICATION_LIST,
            DISCHARGE,
            SIGNATURE,
        ],
    },
    NoteType {
        name: "ed_note",
        weight: 18,
        sections: &[TRIAGE, HISTORY, PAST_HISTORY, ALLERGIES, VITALS, EXAM, RESULTS, PLAN],
    },
    NoteType {
        name: "clinic_letter",
        weight: 14,
        sections: &[SALUTATION, MEDICATION_LIST, FAMILY, EXAM, CLOSING, REGARDS],
    },
    NoteType { name: "nursing_note", weight: 14, sections: &[SHIFT, VITALS, SIGNATURE] },
    NoteType { name: "radiology_report", weight: 12, sections: &[INDICATION, FINDINGS, IMPRESSION, SIGNATURE] },
];
