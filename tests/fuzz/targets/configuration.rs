//! Any text as a configuration: it is refused with a place for each fault, or is one that can be worked with.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use torch::config::{self, Config, Meshes};
use torch::peers::is_host;
use torch_fuzz::{BOOK, within};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match within(bytes, 200, || config::parse(text)) {
        Ok(config) => check(&config),
        Err(problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(
                    problem.line >= 1 && problem.column >= 1 && !problem.message.is_empty(),
                    "{problem:?}"
                );
                // A name may be 253 bytes long, a YAML error quote what it met.
                assert!(problem.message.len() < 2048 + bytes.len(), "{problem:?}");
            }
            let first = &problems.0[0];
            within(bytes, 8, || first.excerpt("config.yaml", text));
        }
    }
});

fn check(config: &Config) {
    assert!(!config.groups.is_empty());
    for group in &config.groups {
        assert!(!group.name.is_empty() && group.name.len() <= 63 && !group.peers.is_empty());
        for peer in &group.peers {
            let settings = &peer.settings;
            assert!(is_host(&peer.node_name) && is_host(&settings.container_name), "{peer:?}");
            assert!(settings.port != 0 && !settings.probe.is_empty(), "{peer:?}");
            let path = Path::new(&settings.trusted_peers_path);
            assert!(path.is_absolute() && !settings.trusted_peers_path.contains(".."), "{peer:?}");
            let sub_path = settings.volume.as_ref().map_or(Path::new("x"), |v| Path::new(&v.sub_path));
            assert!(
                sub_path.is_relative() && sub_path.components().all(|c| c.as_os_str() != ".."),
                "{peer:?}"
            );
        }
    }
    assert_eq!(Meshes::of(config).split(&BOOK).len(), Meshes::of(config).configs().len());
    assert!(serde_json::to_value(config).is_ok());
}
