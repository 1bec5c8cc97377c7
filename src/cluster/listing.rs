//! What a watch has shown: complete once its first listing is.

use std::collections::BTreeMap;

use super::Change;

/// Objects by their names.
#[derive(Debug)]
pub struct Listing<T> {
    objects: BTreeMap<String, T>,
    /// What a listing that is not complete yet has shown.
    coming: BTreeMap<String, T>,
    begun: bool,
    complete: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), coming: BTreeMap::new(), begun: false, complete: false }
    }
}

impl<T> Listing<T> {
    /// Takes in a change.
    pub fn apply(&mut self, change: Change<T>, name: impl Fn(&T) -> &str) {
        match change {
            Change::Begin => {
                self.coming.clear();
                self.begun = true;
            }
            Change::Put(object) => {
                let into = if self.begun { &mut self.coming } else { &mut self.objects };
                into.insert(name(&object).to_owned(), object);
            }
            Change::Complete => {
                self.objects = std::mem::take(&mut self.coming);
                self.begun = false;
                self.complete = true;
            }
            Change::Gone(object) => {
                self.objects.remove(name(&object));
            }
        }
    }

    /// Whether a listing was complete, and no new one is under way.
    pub fn is_current(&self) -> bool {
        self.complete && !self.begun
    }

    /// What there is.
    pub fn all(&self) -> &BTreeMap<String, T> {
        &self.objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_listing_replaces_the_old_one_at_its_end() {
        let mut listing = Listing::default();
        let mut apply = |change: Change<&str>| {
            let change = match change {
                Change::Begin => Change::Begin,
                Change::Complete => Change::Complete,
                Change::Put(s) => Change::Put(s.to_owned()),
                Change::Gone(s) => Change::Gone(s.to_owned()),
            };
            listing.apply(change, |s: &String| s.as_str());
            (listing.complete, listing.all().keys().cloned().collect::<Vec<_>>().join(" "))
        };
        apply(Change::Begin);
        assert_eq!(apply(Change::Put("a")), (false, String::new()));
        assert_eq!(apply(Change::Complete), (true, "a".into()));
        assert_eq!(apply(Change::Put("b")), (true, "a b".into()));
        apply(Change::Begin);
        assert_eq!(apply(Change::Put("c")), (true, "a b".into()));
        assert_eq!(apply(Change::Complete), (true, "c".into()));
        assert_eq!(apply(Change::Gone("c")), (true, String::new()));
    }
}
