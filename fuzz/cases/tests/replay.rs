//! Every target over its corpus, so that what a fuzzer once found stays fixed on stable.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use adit_fuzz_cases::TARGETS;

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

#[test]
fn every_target_survives_its_corpus() {
    for (name, target) in TARGETS {
        let files = std::fs::read_dir(corpus().join(name)).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{name} has no corpus");
        for path in paths {
            let data = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&data));
            assert!(outcome.is_ok(), "{name} fails on {}", path.display());
        }
    }
}

#[test]
fn every_target_survives_nothing_and_a_thousand_small_inputs() {
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for (_, target) in TARGETS {
        target(&[]);
        for len in 0..1000 {
            let data: Vec<u8> = (0..len).map(|_| random()).collect();
            target(&data);
        }
    }
}

#[test]
fn every_target_is_known_to_the_fuzzer() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
    }
}
