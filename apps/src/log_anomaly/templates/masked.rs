//! A line as words, with what is a value by its looks replaced: `uid=0` is `uid=<*>`.
//!
//! A word is what stands between spaces. Within it, parts between `= : , ( ) [ ] { } " ' ; | < >` are
//! values if they have a digit, are eight or more hexadecimal digits, or are `true`, `false`, `null` and
//! the like. Values with only `: , . ; =` between them are one. So constants around a value remain, and
//! lines with and without one of many values are told apart by them.

/// What stands for a value.
pub const VARIABLE: &str = "<*>";

/// Words of a line beyond this are left out: a template is no place for a dump.
pub(super) const WORDS_MAX: usize = 256;

/// Words that are values whatever their neighbours are.
const VALUES: [&str; 7] = ["true", "false", "null", "True", "False", "None", "nil"];

/// The masked words of one line, in a buffer that serves the next line too.
#[derive(Debug, Default)]
pub(super) struct Masked {
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<usize>,
}

impl Masked {
    /// Takes the words of a line.
    pub(super) fn read(&mut self, line: &str) {
        self.text.clear();
        self.ends.clear();
        for word in line.split_ascii_whitespace().take(WORDS_MAX) {
            self.push(word);
            self.ends.push(self.text.len());
        }
    }

    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The words, in order.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let word = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            word
        })
    }

    /// Equal for equal words (FNV-1a, with each word's end).
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Fnv::default();
        self.words().for_each(|word| hash.word(word));
        hash.0
    }

    fn push(&mut self, word: &str) {
        if !may_have_values(word) {
            return self.text.push_str(word);
        }
        let mut rest = word;
        let mut after_value = false;
        while !rest.is_empty() {
            let end = rest.find(is_between).unwrap_or(rest.len());
            let (part, behind) = rest.split_at(end);
            let gap = behind.len() - behind.trim_start_matches(is_between).len();
            let (between, behind) = behind.split_at(gap);
            let is_value = is_value(part);
            if is_value && after_value {
                // The mark of the value before stands for both, and for what is between.
                let marked = self.text.rfind(VARIABLE).map_or(0, |at| at + VARIABLE.len());
                self.text.truncate(marked);
            } else if is_value {
                self.text.push_str(VARIABLE);
            } else {
                self.text.push_str(part);
            }
            self.text.push_str(between);
            after_value = (is_value || (part.is_empty() && after_value))
                && between.bytes().all(|byte| b":,.;=".contains(&byte));
            rest = behind;
        }
    }
}

/// True for what separates the parts of a word.
fn is_between(char: char) -> bool {
    matches!(
        char,
        '=' | ':' | ',' | '(' | ')' | '[' | ']' | '{' | '}' | '"' | '\'' | ';' | '|' | '<' | '>'
    )
}

fn may_have_values(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
        || VALUES.contains(&word)
        || word.contains(is_between)
        || is_long_hex(word)
}

fn is_value(part: &str) -> bool {
    part.bytes().any(|byte| byte.is_ascii_digit()) || VALUES.contains(&part) || is_long_hex(part)
}

fn is_long_hex(part: &str) -> bool {
    part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// FNV-1a, 64 bits: short words, no keys of an attacker's that would matter (buckets are bounded).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fnv(pub(super) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes a number.
    pub(super) fn number(&mut self, number: usize) {
        self.0 = (self.0 ^ number as u64).wrapping_mul(0x0100_0000_01b3);
    }

    /// Takes a word and its end.
    pub(super) fn word(&mut self, word: &str) {
        for byte in word.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> String {
        let mut masked = Masked::default();
        masked.read("what was before");
        masked.read(line);
        masked.words().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_are_replaced_and_what_is_around_them_stays() {
        for (line, wanted) in [
            ("Found child 6725 in slot 10", "Found child <*> in slot <*>"),
            ("rhost=173.234.31.186  user=root", "rhost=<*> user=root"),
            ("sshd[24200]: from 10.0.0.1:41000", "sshd[<*>]: from <*>"),
            ("src: /10.250.19.102:54106 ok", "src: <*> ok"),
            ("onExtend:1514038530000 14 0 4", "onExtend:<*> <*> <*> <*>"),
            ("steps=1514##69##5, ret:false", "steps=<*>, ret:<*>"),
            ("Rect(0, 0 - 1080, 1920)", "Rect(<*>, <*> - <*>, <*>)"),
            ("[Thu 12:00:01] is true", "[Thu <*>] is <*>"),
            ("deadbeef decade 0x1f", "<*> decade <*>"),
            ("a=1,b=2", "a=<*>,b=<*>"),
            ("1,2,3;4 (5)(6)", "<*> (<*>)(<*>)"),
            ("\"GET /v2/54 HTTP/1.1\"", "\"GET <*> <*>\""),
            ("größe=5 ünder", "größe=<*> ünder"),
            ("", ""),
        ] {
            assert_eq!(masked(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_line_of_a_million_words_is_cut() {
        let mut masked = Masked::default();
        masked.read(&"word ".repeat(1_000_000));
        assert_eq!(masked.len(), WORDS_MAX);
    }

    #[test]
    fn words_and_not_only_their_letters_make_the_hash() {
        let hash = |line: &str| {
            let mut masked = Masked::default();
            masked.read(line);
            masked.hash()
        };
        assert_eq!(hash("a  b 1"), hash("a b 2"));
        assert_ne!(hash("ab c"), hash("a bc"));
    }
}
