//! What is on the page, and what was seen there to hold.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, from_value};

use crate::browser::Browser;
use crate::wait::SOON;

/// The page in its browser.
pub struct Page {
    pub browser: Browser,
    /// How many checks have passed.
    pub passed: usize,
}

impl Page {
    pub fn open(url: &str) -> Self {
        let mut page = Self { browser: Browser::start(), passed: 0 };
        page.browser.open(url);
        page.wait("the page is live", Page::is_live);
        page
    }

    /// A check that passes now.
    #[track_caller]
    pub fn check(&mut self, what: &str, holds: bool, found: &dyn std::fmt::Debug) {
        assert!(holds, "FAILED: {what}: {found:?}; the page shows {:#}", self.text());
        println!("ok  {what}");
        self.passed += 1;
    }

    /// A check that passes soon.
    #[track_caller]
    pub fn wait(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + SOON;
        while !holds(self) && Instant::now() < end {
            sleep(Duration::from_millis(100));
        }
        self.check(what, holds(self), &"");
    }

    pub fn is_live(&self) -> bool {
        self.run("return document.getElementById('connection').textContent") == "live"
    }

    /// The state of each pod's mark in the picture.
    pub fn states(&self) -> BTreeMap<String, String> {
        let marks = self.run(
            "return Object.fromEntries([...document.querySelectorAll('#picture a')].map(a => [a.dataset.pod, a.dataset.state]))",
        );
        from_value(marks).expect("texts by texts")
    }

    /// What the page says has changed, the oldest first.
    pub fn changes(&self) -> Vec<String> {
        let changes = self.run("return [...document.querySelectorAll('#changes li')].map(li => li.lastChild.data.trim()).reverse()");
        from_value(changes).expect("texts")
    }

    /// The pod whose mark has the focus; else the beginning of what has it.
    pub fn focus(&self) -> Value {
        self.run("const { dataset, outerHTML } = document.activeElement; return dataset.pod ?? outerHTML.slice(0, 80)")
    }

    pub fn run(&self, script: &str) -> Value {
        self.browser.run(script)
    }

    /// Nothing was complained about on the console since this was asked last.
    #[track_caller]
    pub fn check_console(&mut self, when: &str) {
        let console = self.browser.console();
        self.check(&format!("the console is silent {when}"), console.is_empty(), &console);
    }

    /// Chooses light or dark.
    pub fn prefer(&self, scheme: &str) {
        let features = serde_json::json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.browser.chromium("Emulation.setEmulatedMedia", &features);
    }

    fn text(&self) -> Value {
        self.run("return document.body.innerText")
    }
}
