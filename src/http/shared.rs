//! Values that are there as long as somebody has them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A value for each key, shared by all who have it at the same time.
pub(super) struct Shared<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Shared<K, V> {
    /// The value for `key`, made where nobody has it.
    pub(super) fn of(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = all.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        all.retain(|_, value| value.strong_count() > 0);
        let value = Arc::new(make());
        all.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_as_long_as_somebody_has_it() {
        let shared = Shared::default();
        let (one, other) = (shared.of(1, || 'a'), shared.of(2, || 'b'));
        assert!(Arc::ptr_eq(&one, &shared.of(1, || 'x')) && *other == 'b');
        drop((one, other));
        assert_eq!(*shared.of(1, || 'c'), 'c');
        assert_eq!(shared.0.lock().unwrap().len(), 1, "what nobody has is forgotten");
    }
}
