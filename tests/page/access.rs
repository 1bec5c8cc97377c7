//! By keyboard, by screen reader, in light and dark.

use serde_json::{Value, json};

use crate::page::Page;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const END: &str = "\u{e010}";
const RIGHT: &str = "\u{e014}";

pub fn check(page: &mut Page) {
    by_keyboard(page);
    by_filter(page);
    by_screen_reader(page);
    in_light_and_dark(page);
    without_motion(page);
    page.check_console("meanwhile");
}

fn by_keyboard(page: &mut Page) {
    page.run("document.activeElement.blur(); document.querySelector('[data-pod=da-bridge-1-0]').focus(); document.activeElement.blur()");
    page.browser.open(page.run("return location.href").as_str().unwrap_or_default());
    page.wait("it is live again", |page| page.is_live() && page.states().len() == 4);
    page.browser.press(TAB);
    let at = page.focus();
    page.check("Tab comes to a node", at == "da-bridge-1-0", &at);
    page.browser.press(RIGHT);
    let at = page.focus();
    page.check("an arrow key goes to the node beside it", at == "da-full-1-0", &at);
    let details = page.run("return document.getElementById('details').textContent");
    let text = details.as_str().unwrap_or_default();
    let told = text.starts_with("da-full-1-0Statecomplete") && text.contains("Knowsda-bridge-1-0");
    page.check("all of it is told beside the picture", told, &details);
    page.browser.press(ENTER);
    let row = page.run("return document.querySelector('tr:target')?.dataset.pod ?? null");
    page.check("Enter goes to its row", row == "da-full-1-0", &row);
    page.run("document.querySelector('[data-pod=da-full-1-0]').focus()");
    page.browser.press(&format!("{END}{TAB}"));
    let at = page.run("return document.activeElement.id");
    page.check("the next Tab leaves the picture", at == "filter", &at);
}

fn by_filter(page: &mut Page) {
    page.browser.press("light-1");
    let shown = page.run("return [document.getElementById('shown').textContent, document.querySelectorAll('tbody tr:not([hidden])').length, document.querySelectorAll('#picture a.out').length]");
    page.check("the filter leaves one node", shown == json!(["1 of 4", 1, 4]), &shown);
    page.run("document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))");
}

/// What Chromium tells a screen reader.
fn by_screen_reader(page: &mut Page) {
    let tree = page.browser.chromium("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().expect("a list");
    let names = |role: &str| -> Vec<&str> {
        let those = nodes.iter().filter(|node| node["role"]["value"] == role && node["ignored"] == false);
        those.map(|node| node["name"]["value"].as_str().unwrap_or_default()).collect()
    };
    let links = names("link");
    let shared = "da-bridge-1-0: complete, in groups pair and light nodes";
    let said = links.len() == 5
        && links[0] == shared
        && links[4].starts_with("da-light-2: no pod, waits: there is no such pod");
    page.check("each mark says its node, state and wait", said, &links);
    let tables = (names("table"), names("columnheader").len(), names("rowheader"));
    let said =
        tables.0 == ["All nodes, in the order of the configuration"] && tables.1 == 9 && tables.2.len() == 4;
    page.check("the table has a caption and heads", said, &tables);
    let live = (names("log"), names("status").len(), names("searchbox"));
    let said = live.0 == ["Changes"] && live.1 >= 2 && live.2.iter().all(|name| !name.is_empty());
    page.check("changes are told, and the filter has a name", said, &live);
}

fn in_light_and_dark(page: &mut Page) {
    for (scheme, ground) in [("light", "rgb(246, 248, 250)"), ("dark", "rgb(13, 17, 23)")] {
        page.prefer(scheme);
        let shown = page.run("return getComputedStyle(document.body).backgroundColor");
        page.check(&format!("it is {scheme} where that is preferred"), shown == ground, &shown);
        let low = page.run(include_str!("contrast.js"));
        page.check(&format!("all text has the contrast of WCAG AA when {scheme}"), low == json!([]), &low);
    }
    page.prefer("light");
}

fn without_motion(page: &mut Page) {
    let motion = "const g = document.querySelector('#legend [data-state=restarting] .glyph'); return getComputedStyle(g).animationName";
    let moves = page.run(motion);
    let features = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    page.browser.chromium("Emulation.setEmulatedMedia", &features);
    let still = page.run(motion);
    page.browser.chromium("Emulation.setEmulatedMedia", &json!({"features": Value::Array(Vec::new())}));
    page.check("nothing moves for who does not want it", moves == "turn" && still == "none", &(moves, still));
}
