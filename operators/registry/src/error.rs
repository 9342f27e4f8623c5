//! What can go wrong with a schema registry.

use std::path::PathBuf;

/// Why the registry, or a schema of it, could not be used. No message carries a password, or anything of a record.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A field of the configuration is out of its range.
    #[error("{0}")]
    Config(String),
    /// A URL cannot be a registry's.
    #[error("url has {url:?}, which is no http or https URL; give one like https://registry:8081")]
    Url {
        /// Without what may be a password.
        url: String,
    },
    /// A URL has a user or a password in it, which would end up in logs.
    #[error("url has a user or a password for {host}; give them as user and password_file")]
    UrlHasUser {
        /// The host.
        host: String,
    },
    /// A file that the configuration names cannot be read.
    #[error("cannot read {path}, which {field} names")]
    File {
        /// The field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The password's file is not text.
    #[error("{path}, which password_file names, is not UTF-8; write the password as UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// The certificates cannot be used.
    #[error("{path}, which ca_location names, holds no certificates in PEM; name a file that does")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The HTTP client cannot be made.
    #[error("cannot set up a client for the schema registry")]
    Client(#[source] reqwest::Error),
    /// No connection, or no answer in time.
    #[error("cannot reach the schema registry at {url}; check that it runs, and url, ca_location and timeout_ms")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that says to try later.
    #[error("the schema registry answers {status} at {url}; it is not well, or has too much to do: try again later")]
    Unwell {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The registry does not know the user, or does not let the user do this.
    #[error("the schema registry answers {status} at {url} to {user}; correct user and password_file, or grant access")]
    Denied {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Who asked.
        user: String,
    },
    /// Any other answer that is not a success.
    #[error("the schema registry answers {status} at {url}: {message}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the registry says, which can only be about a schema: nothing else is ever sent.
        message: String,
    },
    /// An answer that is not the API's.
    #[error("what answers at {url} is not a schema registry; correct url")]
    NotARegistry {
        /// What was asked for.
        url: String,
    },
    /// A schema that is made of others.
    #[error("{schema} refers to the subject {subject}, and references are not supported; register it as one schema")]
    References {
        /// The schema.
        schema: String,
        /// The subject that it refers to.
        subject: String,
    },
    /// No schema to write with.
    #[error(
        "the schema registry has no schema under {subject}; register schemas/{file} there, or set auto_register = true"
    )]
    NoSchema {
        /// The subject.
        subject: String,
        /// Our schema, below the folder `schemas`.
        file: String,
    },
    /// The schema that is there is not one that our records can be written with.
    #[error(
        "schema {id} under {subject} does not fit our records: {cause}; register schemas/{file} there, \
         or set auto_register = true"
    )]
    Unfit {
        /// The subject.
        subject: String,
        /// The schema.
        id: u32,
        /// Why not.
        cause: String,
        /// Our schema, below the folder `schemas`.
        file: String,
    },
    /// A record that the schema cannot hold. The cause would quote the record.
    #[error("a record cannot be written with schema {id} under {subject}; register a schema there that holds it")]
    Record {
        /// The subject.
        subject: String,
        /// The schema.
        id: u32,
    },
}
