//! What a store is, in the words of those who drew the topology.

/// Says of a type of stores what its stores are.
pub(crate) trait Described {
    /// Such as "a table of String to i64".
    fn described() -> String;
}

/// "a table of String to i64".
pub(crate) fn of<K, V>(what: &str) -> String {
    format!("{what} of {} to {}", short_name::<K>(), short_name::<V>())
}

/// The name of a type without the paths in it: `Option<String>`.
pub(crate) fn short_name<T: ?Sized>() -> String {
    let mut short = String::new();
    let mut word = 0;
    for c in std::any::type_name::<T>().chars() {
        if c == ':' {
            short.truncate(word);
            continue;
        }
        short.push(c);
        if !(c.is_alphanumeric() || c == '_') {
            word = short.len();
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Windowed;

    #[test]
    fn names_of_types_have_no_paths() {
        assert_eq!(short_name::<i64>(), "i64");
        assert_eq!(short_name::<Option<Windowed<String>>>(), "Option<Windowed<String>>");
        assert_eq!(short_name::<(String, [u8; 2], &str)>(), "(String, [u8; 2], &str)");
        assert_eq!(of::<Windowed<String>, i64>("a table"), "a table of Windowed<String> to i64");
    }
}
