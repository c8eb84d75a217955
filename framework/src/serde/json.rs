//! JSON, through serde.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::serde::plain::not_null;
use crate::serde::{Null, Place, Serde};

/// JSON text of any type that serde knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Serde<T> for Json {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        serde_json::to_writer(into, value)?;
        Ok(Null::No)
    }

    fn deserialize(&self, place: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(not_null(bytes, place)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::tests::{bytes_of, read, refusal_of};

    #[test]
    fn reads_what_it_wrote_and_says_where_it_cannot() {
        let value = vec![(1_i32, "a".to_owned())];
        assert_eq!(bytes_of(&Json, &value), Some(br#"[[1,"a"]]"#.to_vec()));
        assert_eq!(read::<Vec<(i32, String)>>(&Json, Some(br#"[[1,"a"]]"#)), value);
        assert!(refusal_of::<Vec<i32>>(&Json, Some(b"[1,")).contains("line 1 column 3"));
    }
}
