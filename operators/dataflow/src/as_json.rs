//! Records between processes.

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A record that travels to another process as JSON: timely's own encoding writes no names, so it cannot leave out the fields that
/// our records leave out. Between the workers of one process nothing is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsJson<T>(pub T);

impl<T: Serialize> Serialize for AsJson<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(&self.0).map_err(S::Error::custom)?)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for AsJson<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AsJson<T>, D::Error> {
        // What the parser says may quote the text, and a peer of another version is all that can be wrong.
        let json = String::deserialize(deserializer)?;
        let wrong = |_| D::Error::custom("a record of another version; run one version on all processes");
        serde_json::from_str(&json).map(AsJson).map_err(wrong)
    }
}
