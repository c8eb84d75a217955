//! The tree of one service's templates.
//!
//! ```text
//!   number of words ──► first word ──► second word ──► templates
//! ```
//!
//! Words with a value in them share a branch, and what stands in `[..]` at the beginning does not choose
//! one: it says which request or instance the line is about. Where a place has more than a hundred
//! different words, all further ones share a branch too, since it is a value that does not look like one.
//! Among the templates of a branch the most similar one takes the line, if at least seven of ten words are
//! equal or values.
//!
//! Memory is bounded: at most 10,000 templates; those that were used longest ago go.

use std::collections::{HashMap, HashSet};

use super::masked::{Fnv, Masked, VARIABLE};
use super::template::{Template, TemplateId};

/// Words that must be equal or values, in tenths.
const SIMILARITY_MIN_TENTHS: usize = 7;
/// Words that choose a branch.
const PATH_WORDS: usize = 2;
/// Different words at one place of the tree.
const BRANCHES_MAX: u32 = 100;
/// Templates of a service.
const TEMPLATES_MAX: usize = 10_000;
/// How many go when there are too many: one at a time would mean to look at all of them each time.
const EVICTED_AT_ONCE: usize = TEMPLATES_MAX / 10;
/// Masked lines whose template is remembered.
const REMEMBERED_MAX: usize = 1 << 16;
/// Bytes of an example.
const EXAMPLE_BYTES_MAX: usize = 1024;

/// What came of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The template that it is of: [`Miner::get`] has it.
    pub template: TemplateId,
    /// It is the first of it.
    pub is_new: bool,
    /// The template became more general.
    pub is_changed: bool,
}

/// A template and when it was used last.
#[derive(Debug)]
struct Kept {
    template: Template,
    branch: u64,
    used: u64,
}

/// The templates of one service.
#[derive(Debug, Default)]
pub struct Miner {
    templates: HashMap<TemplateId, Kept>,
    branches: HashMap<u64, Vec<TemplateId>>,
    /// Words that were seen at a place of the tree, by place and word, and how many there are by place.
    known: HashSet<u64>,
    widths: HashMap<u64, u32>,
    /// The template of masked lines that came before.
    remembered: HashMap<u64, TemplateId>,
    lines: u64,
    evicted: u64,
    /// Those that went and nobody has asked for yet.
    gone: Vec<TemplateId>,
    masked: Masked,
}

impl Miner {
    /// One that goes on with what was kept, in the order in which it was kept.
    pub fn with_templates(templates: impl IntoIterator<Item = Template>) -> Self {
        let mut miner = Self::default();
        for template in templates {
            miner.lines += 1;
            let branch =
                miner.branch(template.words.len(), template.path.iter().map(String::as_str));
            miner.keep(branch, template);
        }
        miner
    }

    /// Finds the template of a line, or makes one.
    pub fn learn(&mut self, line: &str) -> Learned {
        self.lines += 1;
        let mut masked = std::mem::take(&mut self.masked);
        masked.read(line);
        let hash = masked.hash();
        let before = self.remembered.get(&hash).copied();
        let learned = match before.filter(|id| self.templates.contains_key(id)) {
            Some(template) => Learned { template, is_new: false, is_changed: false },
            None => self.find_or_make(&masked, hash, line),
        };
        self.masked = masked;
        if let Some(kept) = self.templates.get_mut(&learned.template) {
            kept.used = self.lines;
            kept.template.count += 1;
        }
        learned
    }

    /// A template, unless it went.
    pub fn get(&self, id: TemplateId) -> Option<&Template> {
        self.templates.get(&id).map(|kept| &kept.template)
    }

    /// All templates, those used last at the end.
    pub fn templates(&self) -> Vec<&Template> {
        let mut all: Vec<&Kept> = self.templates.values().collect();
        all.sort_by_key(|kept| kept.used);
        all.into_iter().map(|kept| &kept.template).collect()
    }

    /// How many templates went since there were too many.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The templates that went since this was asked last.
    pub fn take_gone(&mut self) -> Vec<TemplateId> {
        std::mem::take(&mut self.gone)
    }

    fn find_or_make(&mut self, masked: &Masked, hash: u64, line: &str) -> Learned {
        let path = self.path(masked);
        let branch = self.branch(masked.len(), path.iter().copied());
        let (template, is_new, is_changed) = match self.most_similar(branch, masked) {
            Some(id) => {
                let kept = self.templates.get_mut(&id);
                (id, false, kept.is_some_and(|kept| kept.template.take(masked.words())))
            }
            None => {
                let path = path.iter().map(|word| (*word).to_owned()).collect();
                let words = masked.words().map(str::to_owned).collect();
                let example = line.get(..line.floor_char_boundary(EXAMPLE_BYTES_MAX));
                let example = example.unwrap_or(line).to_owned();
                let id = self.free_id(hash);
                self.make_room();
                self.keep(branch, Template { id, words, path, count: 0, example });
                (id, true, true)
            }
        };
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        self.remembered.insert(hash, template);
        Learned { template, is_new, is_changed }
    }

    /// The words that choose the branch. A word that is one too many at its place counts as a value.
    fn path<'a>(&mut self, masked: &'a Masked) -> Vec<&'a str> {
        let mut path = Vec::with_capacity(PATH_WORDS);
        let mut place = Fnv::default();
        place.number(masked.len());
        let mut brackets = 0_usize;
        for word in masked.words() {
            if path.len() == PATH_WORDS {
                break;
            }
            let opens = word.bytes().filter(|byte| *byte == b'[').count();
            let closes = word.bytes().filter(|byte| *byte == b']').count();
            let is_about = brackets > 0 || word.starts_with('[');
            brackets = (brackets + opens).saturating_sub(closes);
            if is_about {
                continue;
            }
            let chosen = if word.contains(VARIABLE) { VARIABLE } else { word };
            let chosen = if self.has_room(place, chosen) { chosen } else { VARIABLE };
            path.push(chosen);
            place.word(chosen);
        }
        path
    }

    /// True if the tree may have this word at a place; it is known there from then on.
    fn has_room(&mut self, place: Fnv, word: &str) -> bool {
        let mut at = place;
        at.word(word);
        if word == VARIABLE || self.known.contains(&at.0) {
            return true;
        }
        let width = self.widths.entry(place.0).or_default();
        let has_room = *width < BRANCHES_MAX;
        if has_room {
            *width += 1;
            self.known.insert(at.0);
        }
        has_room
    }

    /// The branch at the end of a path, whose words are known from then on.
    fn branch<'a>(&mut self, words: usize, path: impl Iterator<Item = &'a str>) -> u64 {
        let mut place = Fnv::default();
        place.number(words);
        for word in path {
            self.has_room(place, word);
            place.word(word);
        }
        place.0
    }

    fn most_similar(&self, branch: u64, masked: &Masked) -> Option<TemplateId> {
        let mut best: Option<(usize, TemplateId)> = None;
        for id in self.branches.get(&branch)? {
            let equal = self.templates.get(id)?.template.takes(masked.words());
            if best.is_none_or(|(most, _)| equal > most) {
                best = Some((equal, *id));
            }
        }
        let (equal, id) = best?;
        (equal * 10 >= masked.len() * SIMILARITY_MIN_TENTHS).then_some(id)
    }

    /// An id for the template whose first line has this hash. The same line gets the same again, also if its template
    /// went meanwhile.
    fn free_id(&self, hash: u64) -> TemplateId {
        let mut id = hash;
        while self.templates.contains_key(&TemplateId(id)) {
            id = id.wrapping_add(1);
        }
        TemplateId(id)
    }

    fn keep(&mut self, branch: u64, template: Template) {
        self.branches.entry(branch).or_default().push(template.id);
        self.templates.insert(template.id, Kept { template, branch, used: self.lines });
    }

    /// Drops those that were used longest ago if there are too many.
    fn make_room(&mut self) {
        if self.templates.len() < TEMPLATES_MAX {
            return;
        }
        let mut used: Vec<(u64, TemplateId, u64)> =
            self.templates.iter().map(|(id, kept)| (kept.used, *id, kept.branch)).collect();
        used.sort_unstable();
        for (_, id, branch) in used.into_iter().take(EVICTED_AT_ONCE) {
            self.templates.remove(&id);
            if let Some(ids) = self.branches.get_mut(&branch) {
                ids.retain(|kept| *kept != id);
            }
            self.evicted += 1;
            self.gone.push(id);
        }
        self.branches.retain(|_, ids| !ids.is_empty());
        self.forget_paths();
    }

    /// The tree is that of the templates that are left: otherwise it would be full for ever.
    fn forget_paths(&mut self) {
        self.known.clear();
        self.widths.clear();
        let mut left: Vec<(u64, usize, Vec<String>)> = self
            .templates
            .values()
            .map(|kept| (kept.used, kept.template.words.len(), kept.template.path.clone()))
            .collect();
        left.sort_unstable();
        for (_, words, path) in left {
            self.branch(words, path.iter().map(String::as_str));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(miner: &Miner, learned: Learned) -> String {
        miner.get(learned.template).unwrap().text()
    }

    /// A number without digits.
    fn letters(n: u32) -> String {
        n.to_string().bytes().map(|byte| char::from(byte - b'0' + b'g')).collect()
    }

    #[test]
    fn lines_with_other_values_are_of_one_template_that_keeps_its_id() {
        let mut miner = Miner::default();
        let first = miner.learn("Failed password for root from 10.1.1.7 port 41000 ssh");
        assert!(first.is_new && first.is_changed);
        let same = miner.learn("Failed password for root from 10.1.1.8 port 42000 ssh");
        assert_eq!((same.template, same.is_new, same.is_changed), (first.template, false, false));
        let other = miner.learn("Failed password for admin from 10.1.1.8 port 42000 ssh");
        assert_eq!((other.template, other.is_new, other.is_changed), (first.template, false, true));
        assert_eq!(text(&miner, other), "Failed password for <*> from <*> port <*> ssh");
        let kept = miner.get(first.template).unwrap();
        assert_eq!(kept.count, 3);
        assert_eq!(kept.example, "Failed password for root from 10.1.1.7 port 41000 ssh");
    }

    #[test]
    fn other_words_at_the_beginning_are_another_template() {
        let mut miner = Miner::default();
        let lines = [
            "Failed password for invalid user a from 1 port 2 ssh2",
            "Failed none for invalid user a from 1 port 2 ssh2",
            "Accepted password for invalid user a from 1 port 2 ssh2",
            "[instance: 7] VM Started (Lifecycle Event)",
            "[instance: 7] VM Stopped (Lifecycle Event)",
        ];
        let ids: HashSet<TemplateId> = lines.map(|line| miner.learn(line).template).into();
        assert_eq!(ids.len(), lines.len());
    }

    #[test]
    fn what_is_less_than_seven_tenths_similar_is_another_template() {
        let mut miner = Miner::default();
        let ten = miner.learn("a b c d e f g h i j").template;
        assert_eq!(miner.learn("a b c d e f g x y z").template, ten);
        let mut miner = Miner::default();
        let ten = miner.learn("a b c d e f g h i j").template;
        assert_ne!(miner.learn("a b c d e f w x y z").template, ten);
    }

    /// The store has the templates; everything else is made of them.
    #[test]
    fn it_goes_on_with_what_was_kept() {
        let lines = ["a b c 1", "a b d 1", "x y z w v u", "x y z w v t", "[r 1] k l m n o p q"];
        let mut miner = Miner::default();
        let before = lines.map(|line| miner.learn(line).template);
        let kept: Vec<Template> = miner.templates().into_iter().cloned().collect();
        let mut again = Miner::with_templates(kept);
        assert_eq!(lines.map(|line| again.learn(line).template), before);
        assert!(!again.learn("a b e 2").is_new);
    }

    /// A name that looks like a word does not make a template each: behind a hundred of them the place is a value.
    #[test]
    fn a_place_with_too_many_words_becomes_a_value() {
        let mut miner = Miner::default();
        for n in 0..5_000 {
            miner.learn(&format!("user {} logged in from the web", letters(n)));
        }
        let found = miner.templates().len();
        assert!((100..=102).contains(&found), "{found} templates");
    }

    #[test]
    fn there_are_never_more_than_the_bound_and_those_in_use_stay() {
        let mut miner = Miner::default();
        let stays = miner.learn("this line comes all the time").template;
        // Each of a branch of its own.
        for n in 0_u32..30_000 {
            let rest = "x ".repeat(usize::try_from(n % 4).unwrap());
            miner.learn(&format!("{} {} {rest}", letters(n / 4 % 100), letters(n / 400)));
            if n % 100 == 0 {
                assert_eq!(miner.learn("this line comes all the time").template, stays);
            }
            assert!(miner.templates.len() <= TEMPLATES_MAX);
        }
        assert!(miner.evicted() > 0);
        assert_eq!(miner.take_gone().len() as u64, miner.evicted());
        assert!(miner.take_gone().is_empty());
        assert!(miner.known.len() <= 3 * TEMPLATES_MAX && miner.branches.len() <= TEMPLATES_MAX);
        assert!(miner.remembered.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn any_text_is_a_line() {
        let mut miner = Miner::default();
        let long = "é".repeat(10_000);
        for line in ["", " ", "\0", "[", "]]] [[[", "<*>", "<*> <*>", long.as_str()] {
            let learned = miner.learn(line);
            assert!(miner.get(learned.template).unwrap().example.len() <= EXAMPLE_BYTES_MAX);
        }
    }
}
