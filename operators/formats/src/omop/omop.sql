-- NOTE and NOTE_NLP of the OMOP Common Data Model, version 5.4, and what stillroom knows beyond them, for PostgreSQL and databases like
-- it. Where you have the tables of the model already, leave out the first two. The references to PERSON and CONCEPT are left out, as
-- those tables are not here. {ids}
--
-- To load the files, from this folder in psql:
--   \copy note from 'note.csv' with (format csv, header)
--   \copy note_nlp from 'note_nlp.csv' with (format csv, header)
--   \copy note_stillroom from 'note_stillroom.csv' with (format csv, header)
--   \copy note_nlp_stillroom from 'note_nlp_stillroom.csv' with (format csv, header)
-- In them null is nothing between two commas, and an empty text a pair of quotes.

create table note (
    note_id {id} not null,
    -- From --omop-persons, or made from the patient's id; 0 where the note names no patient.
    person_id {id} not null,
    -- Where it was signed.
    note_date date not null,
    note_datetime timestamp,
    -- 32831, EHR note.
    note_type_concept_id integer not null,
    note_class_concept_id integer not null,
    note_title varchar(250),
    note_text text not null,
    -- 32678, UTF-8.
    encoding_concept_id integer not null,
    -- 4180186, English.
    language_concept_id integer not null,
    provider_id integer,
    visit_occurrence_id integer,
    visit_detail_id integer,
    -- The note's type.
    note_source_value varchar(50),
    note_event_id integer,
    note_event_field_concept_id integer,
    constraint xpk_note primary key (note_id)
);

create table note_nlp (
    note_nlp_id {id} not null,
    note_id {id} not null,
    -- 0 in a section, null before the first heading; note_nlp_stillroom has its name.
    section_concept_id integer,
    snippet varchar(250),
    -- Of the first code point, from 0.
    "offset" varchar(50),
    lexical_variant varchar(250) not null,
    -- The standard concept; 0 where none is known.
    note_nlp_concept_id integer,
    -- The concept of the code that was found; 0 where none is known.
    note_nlp_source_concept_id integer,
    nlp_system varchar(250),
    -- In UTC.
    nlp_date date not null,
    nlp_datetime timestamp,
    -- Y: the patient has or had it. N: negated, uncertain, hypothetical, or not of the patient. Null: assertions were not told.
    term_exists varchar(1),
    -- present, past, or null where it is hypothetical.
    term_temporal varchar(50),
    -- Negation=false;Uncertain=false;Subject=patient;History=false;Conditional=false, then of a medication what stands beside it:
    -- Strength=500 mg;Dose=…;Form=…;Route=…;Frequency=…;Duration=…
    term_modifiers varchar(2000),
    constraint xpk_note_nlp primary key (note_nlp_id),
    constraint fpk_note_nlp_note_id foreign key (note_id) references note (note_id)
);

-- What NOTE cannot hold. A row a note.
create table note_stillroom (
    note_id {id} not null primary key references note (note_id),
    -- The note's id where it came from.
    source_note_id text not null,
    patient_id text,
    -- Up to 2^64 - 1.
    revision numeric(20) not null,
    note_type text,
    site text,
    -- As it was written.
    signed_at text,
    -- SHA-256 of the text, in hexadecimal.
    text_hash text not null,
    -- The student that read it.
    model text not null,
    -- The lexicon and the vocabularies that told of what it found, each by a hash; null where none did.
    interpretation text,
    -- How much of it the student saw.
    words bigint not null,
    word_pieces bigint not null,
    windows bigint not null
);

-- What NOTE_NLP cannot hold. A row a mention.
create table note_nlp_stillroom (
    note_nlp_id {id} not null primary key references note_nlp (note_nlp_id),
    note_id {id} not null references note (note_id),
    -- disease, medication or symptom.
    task text not null,
    -- In code points of note_text; end_offset is one past the last.
    start_offset integer not null,
    end_offset integer not null,
    -- Mean probability of its words, 0 to 1.
    score double precision not null,
    -- affirmed, uncertain or negated.
    certainty text,
    -- recent, historical or hypothetical.
    temporality text,
    -- patient, family or other.
    experiencer text,
    -- JSON: [{"says", "trigger", "start", "end"}, …]
    cues text,
    section text,
    -- The code that was found, its vocabulary, and how the words came to it: exact, normalised, abbreviation or fuzzy.
    vocabulary text,
    code text,
    vocabulary_version text,
    concept_name text,
    match_tier text,
    match_score double precision,
    -- JSON: [{"vocabulary", "code"}, …]
    ingredients text,
    -- JSON: {"strength": {"start", "end", "text"}, "dose": …, "form": …, "route": …, "frequency": …, "duration": …}
    dosage text,
    -- The student that found it.
    model text not null
);
