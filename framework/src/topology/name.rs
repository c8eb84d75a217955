//! Names of nodes and stores: what is allowed, and when one may be left out.

/// The name of a node that must have one: a text, or [`NodeName::generated`] where the builder
/// allows Java's numbering.
///
/// ```
/// use millstream::{NodeName, StreamsBuilder};
/// # use millstream::{BoxError, Context, Processor, record::Record};
/// # struct Pass;
/// # impl Processor<String, String> for Pass {
/// #     type KOut = String;
/// #     type VOut = String;
/// #     fn process(&mut self, record: Record<String, String>, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
/// #         ctx.forward(record);
/// #         Ok(())
/// #     }
/// # }
/// let builder = StreamsBuilder::new().allow_generated_names();
/// let stream = builder.stream::<String, String>("in");
/// stream.process("named", (), |()| Pass).to("a");
/// stream.process(NodeName::generated(), (), |()| Pass).to("b");
/// let text = builder.build()?.describe();
/// assert!(text.contains("Processor: named") && text.contains("Processor: KSTREAM-PROCESSOR-"));
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(Option<String>);

impl NodeName {
    /// No name of its own: the node gets Java's prefix and number. Adding a node before it changes
    /// the number, and with it the names of topics that are derived from it; `build` refuses it
    /// unless [`crate::StreamsBuilder::allow_generated_names`] was called.
    pub fn generated() -> Self {
        Self(None)
    }

    pub(crate) fn into_text(self) -> Option<String> {
        self.0
    }
}

impl From<&str> for NodeName {
    fn from(name: &str) -> Self {
        Self(Some(name.to_owned()))
    }
}

impl From<String> for NodeName {
    fn from(name: String) -> Self {
        Self(Some(name))
    }
}

/// Why a name cannot be used, if it cannot: names become parts of topic names.
pub(crate) fn refusal(name: &str) -> Option<&'static str> {
    const LENGTH_MAX: usize = 249;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        Some("it is empty")
    } else if name == "." || name == ".." {
        Some("it is no name of a topic")
    } else if name.len() > LENGTH_MAX {
        Some("it is longer than 249 characters")
    } else if !name.chars().all(legal) {
        Some("only letters, digits, '.', '_' and '-' are allowed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_topics() {
        assert_eq!(refusal("totals-5s_v1.2"), None);
        for bad in ["", "..", "a b", "ä", &"x".repeat(250)] {
            assert!(refusal(bad).is_some(), "{bad:?}");
        }
    }
}
