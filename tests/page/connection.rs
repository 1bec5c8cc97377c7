//! The page loses Torch, and finds it again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::bed::Bed;
use crate::forward::Forward;
use crate::page::Page;
use crate::torch::Torch;

/// How many may follow the changes at once.
const MOST_FOLLOWERS: usize = 16;

pub fn check(bed: &Bed, torch: &Torch<'_>, forward: Forward, page: &mut Page) {
    let port = forward.port;
    drop(forward);
    page.wait("it says since when it is not connected", is_lost);
    let forward = Forward::at(bed.name(), &torch.pod(), port);
    page.wait("it connects again", Page::is_live);
    is_refused(&forward, page);
    drop(forward);
    shows_who_leads(bed, torch, page);
    page.browser.console();
}

fn is_lost(page: &Page) -> bool {
    let said = page.run("return document.getElementById('connection').textContent");
    said.as_str().is_some_and(|text| text.starts_with("not connected since "))
}

/// After an error of HTTP a browser does not try again by itself.
fn is_refused(forward: &Forward, page: &mut Page) {
    page.browser.open("about:blank");
    let followers: Vec<TcpStream> = (0..MOST_FOLLOWERS).map(|_| follow(forward.port)).collect();
    page.browser.open(&forward.url());
    page.wait("it says so, too, where it is refused", is_lost);
    drop(followers);
    page.wait("it connects once there is room", Page::is_live);
}

/// Asks until there is a place: that of a page which has gone is free a moment later.
fn follow(port: u16) -> TcpStream {
    crate::wait::eventually("a follower has a place", crate::wait::SOON, || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        let mut head = [0; 12];
        stream
            .write_all(b"GET /status/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .and_then(|()| stream.read_exact(&mut head))
            .map_err(|e| e.to_string())?;
        crate::wait::check(&head == b"HTTP/1.1 200", || String::from_utf8_lossy(&head).into_owned())?;
        Ok(stream)
    })
}

fn shows_who_leads(bed: &Bed, torch: &Torch<'_>, page: &mut Page) {
    let leader = torch.pod();
    let history = bed.pods.now();
    let other =
        history.all_of_torch().find(|pod| pod.stays() && pod.name() != leader).expect("there are two");
    let forward = Forward::to(bed.name(), other.name());
    page.browser.open(&forward.url());
    page.wait("a replica that does not lead names the one that does", |page| {
        let notice = page.run("return document.getElementById('notice').innerText");
        notice.as_str().is_some_and(|text| text.contains("does not lead") && text.contains(&leader))
    });
    // Before the port goes: what it then complains of would come at any time later.
    page.browser.open("about:blank");
}
