//! JSON objects. To serde an array of the right length is a struct too, its fields in order; to the
//! contract it is none.

use millstream::BoxError;
use millstream::serde::{Json, Null, Place, Serde};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};

/// [`Json`] of a struct, which must be an object.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonObject;

impl<T: Serialize + DeserializeOwned> Serde<T> for JsonObject {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        Json.serialize(place, value, into)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<T, BoxError> {
        if bytes.is_some_and(|bytes| !is_object(bytes)) {
            return Err("not a JSON object".into());
        }
        Json.deserialize(place, bytes)
    }
}

/// Reads a struct.
///
/// # Errors
/// If it is no JSON, no object, or another one.
pub(super) fn read_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    let value = serde_json::from_slice(bytes)?;
    if is_object(bytes) { Ok(value) } else { Err(serde_json::Error::custom("not a JSON object")) }
}

/// Whether JSON is an object, if it is JSON at all.
fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use millstream::record::Headers;
    use millstream::serde::Part;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        left: u8,
        right: Option<u8>,
    }

    fn both_read(json: &str) -> Vec<Result<Pair, String>> {
        let mut headers = Headers::default();
        let mut place = Place { topic: "t", part: Part::Value, headers: &mut headers };
        let by_serde = JsonObject.deserialize(&mut place, Some(json.as_bytes()));
        vec![
            by_serde.map_err(|error| error.to_string()),
            read_object(json.as_bytes()).map_err(|error| error.to_string()),
        ]
    }

    #[test]
    fn an_array_is_no_object() {
        for read in both_read(" \n{\"left\":1,\"right\":2}") {
            assert_eq!(read, Ok(Pair { left: 1, right: Some(2) }));
        }
        for json in ["[1,2]", "[1,null]", " [1,2]"] {
            for read in both_read(json) {
                assert_eq!(read, Err("not a JSON object".to_owned()), "{json}");
            }
        }
    }
}
