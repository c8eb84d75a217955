//! Record headers: empty ones cost nothing, others are shared until changed.

use std::sync::Arc;

/// One header: a name and a value that may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name; names may repeat.
    pub name: Arc<str>,
    /// The value; `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
}

/// The headers of a record, in order; cloning shares them until one side changes them.
///
/// ```
/// use millstream::record::{Header, Headers};
///
/// let mut headers = Headers::default();
/// assert!(headers.is_empty());
/// headers.push("trace", Some(b"1".to_vec()));
/// headers.push("trace", Some(b"2".to_vec()));
/// headers.push("flag", None);
/// assert_eq!((headers.len(), headers.last("trace"), headers.last("flag")), (3, Some(&b"2"[..]), None));
/// let names: Vec<&str> = headers.iter().map(|header: &Header| &*header.name).collect();
/// assert_eq!(names, ["trace", "trace", "flag"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<Vec<Header>>>);

impl Headers {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|all| all.is_empty())
    }

    /// The headers in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter().flat_map(|all| all.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.len())
    }

    /// The value of the last header of this name (Kafka's rule), if it has one.
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        let all = self.0.as_ref()?;
        all.iter().rev().find(|h| &*h.name == name)?.value.as_deref()
    }

    /// Adds a header at the end.
    pub fn push(&mut self, name: impl Into<Arc<str>>, value: Option<Vec<u8>>) {
        let all = self.0.get_or_insert_with(Arc::default);
        Arc::make_mut(all).push(Header { name: name.into(), value });
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        let all: Vec<Header> = headers.into_iter().collect();
        if all.is_empty() { Self(None) } else { Self(Some(Arc::new(all))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_until_one_changes() {
        let mut first = Headers::default();
        first.push("trace", Some(b"1".to_vec()));
        let second = first.clone();
        first.push("trace", Some(b"2".to_vec()));
        assert_eq!((first.len(), second.len()), (2, 1));
        assert_eq!(first.last("trace"), Some(&b"2"[..]));
        assert_eq!(second.last("trace"), Some(&b"1"[..]));
    }
}
