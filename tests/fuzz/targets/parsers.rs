//! Any text as an address, and as what a node's command, log and RPC say: what is taken for an address is
//! safe in a list, a shell's file and a variable; what is taken for a peer id stands in the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use torch::leader::discovery::{info, listening, peer_id};
use torch::peers::{Address, is_host, join};
use torch_fuzz::within;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (address, said, info) =
        within(bytes, 32, || (text.parse::<Address>(), [peer_id(&text), listening(&text)], info(bytes)));
    if let Ok(address) = address {
        check(&address);
    }
    for found in said {
        match found {
            Ok(peer) => assert!(text.contains(&peer.to_string()), "{peer} is not in {text:?}"),
            Err(why) => check_message(&why),
        }
    }
    if let Err(why) = info {
        check_message(&why);
    }
});

fn check(address: &Address) {
    let text = address.as_str();
    assert!(text.len() <= 2048, "{text}");
    assert!(text.bytes().all(|b| b.is_ascii_graphic() && !b",\"'`$\\;&|<>(){}".contains(&b)), "{text}");
    assert!(text.ends_with(&format!("/p2p/{}", address.peer())), "{text}");
    assert_eq!(text.parse::<Address>().as_ref(), Ok(address), "it is not read as it is written");
    assert_eq!(join(&[address, address]).split(',').count(), 2);
    if let Some((host, port)) = address.host_and_port() {
        assert!(port != 0 && (is_host(&host) || host.parse::<std::net::IpAddr>().is_ok()), "{text}");
    }
}

/// It is told in logs and Events.
fn check_message(why: &str) {
    assert!(why.len() < 2048 && !why.contains(['\n', '\r', '\0', '\u{1b}']), "{why:?}");
}
