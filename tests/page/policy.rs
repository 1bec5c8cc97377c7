//! What the page may do, and who may see it.

use serde_json::json;

use crate::bed::Bed;
use crate::page::Page;
use crate::torch::Torch;

/// Tries what somebody would who has got a text of theirs into the page; says what was stopped.
const TRY: &str = "
    const stopped = [];
    document.addEventListener('securitypolicyviolation', (event) => stopped.push(event.effectiveDirective));
    const script = document.createElement('script');
    script.textContent = 'window.intruded = true';
    document.body.append(script);
    document.body.setAttribute('onclick', 'window.intruded = true');
    document.body.setAttribute('style', 'display: block');
    document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/'}));
    const asked = fetch('http://127.0.0.1:9/').catch(() => {});
    return asked.then(() => new Promise((done) => setTimeout(() => done([...stopped.sort(), window.intruded === true]), 200)));
";

pub fn check(bed: &Bed, torch: &Torch<'_>, page: &mut Page) {
    let origins = page.run(
        "return [...new Set(performance.getEntriesByType('resource').map(e => new URL(e.name).origin))].filter(o => o !== location.origin)",
    );
    page.check("nothing is loaded from elsewhere", origins == json!([]), &origins);
    let stopped = page.run(TRY);
    let all =
        json!(["connect-src", "img-src", "script-src-attr", "script-src-elem", "style-src-attr", false]);
    page.check(
        "the policy stops scripts, styles, pictures and requests that are not the page's",
        stopped == all,
        &stopped,
    );
    page.browser.console();
    let leader = torch.leader().unwrap_or_else(|why| panic!("{why}"));
    let answer =
        bed.shell.curl(&format!("http://{}:8080/", leader.ip())).unwrap_or_else(|why| panic!("{why}"));
    page.check("no other pod is shown the page", answer.status == 403, &answer);
}
