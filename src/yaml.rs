//! YAML, read within limits that the largest real files keep.

use serde::de::DeserializeOwned;
use serde_yaml::{Error, Options, budget, options};

/// How many values a text may have: a List of 10,000 StatefulSets has fewer. The reader's own limit, an eighth
/// of it, refuses a `/list` of 10,000 nodes.
const MOST_VALUES: usize = 2_000_000;

/// Reads a document.
///
/// # Errors
/// Where it is no YAML, or not of that form.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_yaml::from_str_with_options(text, limits())
}

fn limits() -> Options {
    options! {
        budget: budget! {
            max_nodes: MOST_VALUES,
            max_events: 2 * MOST_VALUES,
            // What aliases repeat is counted; how often one of them stands there says nothing.
            enforce_alias_anchor_ratio: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn one_value_may_be_meant_many_times() {
        let many = format!("a: &a {{b: c}}\nall: [{}]", "*a,".repeat(1000));
        assert_eq!(read::<Value>(&many).unwrap()["all"][999]["b"], "c");
    }

    #[test]
    fn what_would_grow_beyond_measure_is_refused() {
        let ten = |of: &str| format!("[{}]", [of; 10].join(","));
        let mut bomb = String::from("a0: &a0 x\n");
        for n in 1..9 {
            bomb += &format!("a{n}: &a{n} {}\n", ten(&format!("*a{}", n - 1)));
        }
        assert!(read::<Value>(&bomb).is_err());
        assert!(read::<Value>(&"[".repeat(100_000)).is_err());
    }
}
