//! `known_hosts`: what the files say of a host, and that nothing they say lets an impostor in.

mod model;

use std::path::PathBuf;
use std::sync::LazyLock;

use adit_proto::key::PublicKey;
use adit_tunnel::known_hosts::file::{Hashing, entry};
use adit_tunnel::known_hosts::{
    Decision, HostKeyStatus, StrictHostKeyChecking, check, decide, known_types, message,
};
use arbitrary::{Result, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ends;

/// Stand in a file for keys, which no fuzzer finds by itself: the one presented, and another.
const KEY_BYTES: [u8; 2] = [0x80, 0x81];

/// Ends a file.
const FILE_END: u8 = 0xff;

/// The most bytes of files that are looked at.
const LONGEST: usize = 4096;

const MODES: [StrictHostKeyChecking; 4] = [
    StrictHostKeyChecking::Yes,
    StrictHostKeyChecking::No,
    StrictHostKeyChecking::Ask,
    StrictHostKeyChecking::AcceptNew,
];

/// Any text as files; or lines whose meaning is known.
pub fn known_hosts(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // Too few bytes are a short program, not a failure.
    let _ = match u.arbitrary() {
        Ok(0_u8) => any_files(&mut u),
        _ => model::known_lines(&mut u),
    };
}

/// The key that is presented, unless a model says otherwise, and another.
static KEYS: LazyLock<[PublicKey; 2]> =
    LazyLock::new(|| [1, 2].map(|seed| ends::key(seed).public_key().clone()));

/// A key as it stands behind the hosts of a line.
fn written(key: &PublicKey) -> String {
    format!("{} {}", key.key_type(), STANDARD.encode(key.blob()))
}

fn any_files(u: &mut Unstructured<'_>) -> Result<()> {
    let host = *u.choose(&["a.example", "A.Example", "10.0.0.1", "::1", "h"])?;
    let port = *u.choose(&[22, 2222])?;
    let keys = &*KEYS;
    let mut text = Vec::new();
    for &byte in u.bytes(u.len().min(LONGEST))? {
        match KEY_BYTES.iter().position(|&stands| stands == byte) {
            Some(n) => text.extend_from_slice(written(&keys[n]).as_bytes()),
            None => text.push(byte),
        }
    }
    let files: Vec<(PathBuf, String)> = (1..)
        .zip(text.split(|&b| b == FILE_END))
        .map(|(n, text)| {
            let path = PathBuf::from(format!("/{n}"));
            (path, String::from_utf8_lossy(text).into_owned())
        })
        .collect();
    let ask = Ask {
        host,
        port,
        key: &keys[0],
    };
    let status = ask.of(&files);
    check_status(&ask, &files, &status);
    check_decisions(&ask, &status);
    additions(&ask, &files, &status);
    let ended = |text: &String| text.replace('\r', "").replace('\n', "\r\n");
    if files.iter().all(|(_, text)| !text.contains('\r')) {
        let dos: Vec<_> = files
            .iter()
            .map(|(p, text)| (p.clone(), ended(text)))
            .collect();
        assert_eq!(ask.of(&dos), status, "line ends matter");
    }
    Ok(())
}

/// One question: everything but the files.
struct Ask<'a> {
    host: &'a str,
    port: u16,
    key: &'a PublicKey,
}

impl Ask<'_> {
    fn of(&self, files: &[(PathBuf, String)]) -> HostKeyStatus {
        check(files, self.host, self.port, self.key)
    }
}

/// Asserts that the line a status points at is there, and says what it is said to say.
fn check_status(ask: &Ask<'_>, files: &[(PathBuf, String)], status: &HostKeyStatus) {
    let line_of = |path: &PathBuf, number: usize| {
        let (_, text) = files.iter().find(|(file, _)| file == path).unwrap();
        text.lines().nth(number - 1).unwrap().to_owned()
    };
    let own = STANDARD.encode(ask.key.blob());
    let types = known_types(files, ask.host, ask.port);
    match status {
        HostKeyStatus::Known => {
            assert!(files.iter().any(|(_, text)| text.contains(&own)));
        }
        HostKeyStatus::Changed {
            file,
            line,
            key_type,
            fingerprint,
        } => {
            let line = line_of(file, *line);
            assert!(line.contains(key_type.as_str()), "{line}");
            assert_eq!(key_type, ask.key.key_type().as_str());
            assert_ne!(*fingerprint, ask.key.fingerprint_sha256());
            assert!(types.contains(key_type));
        }
        HostKeyStatus::Revoked { file, line } => {
            let line = line_of(file, *line);
            assert!(line.contains(&own) && line.contains("@revoked"), "{line}");
        }
        HostKeyStatus::Unknown { other_types } => {
            assert_eq!(*other_types, types);
            assert!(
                !types
                    .iter()
                    .any(|known| known == ask.key.key_type().as_str())
            );
        }
    }
}

/// No mode takes a key that is revoked; none but `no` takes one that may be an impostor's, and that one forwards nothing.
fn check_decisions(ask: &Ask<'_>, status: &HostKeyStatus) {
    for mode in MODES {
        let decision = decide(status, mode);
        let expected: &[Decision] = match status {
            HostKeyStatus::Known => &[Decision::Accept],
            HostKeyStatus::Revoked { .. } => &[Decision::Refuse],
            HostKeyStatus::Unknown { other_types } if other_types.is_empty() => match mode {
                StrictHostKeyChecking::Yes => &[Decision::Refuse],
                StrictHostKeyChecking::Ask => &[Decision::AskUser],
                _ => &[Decision::AcceptAndAdd],
            },
            HostKeyStatus::Changed { .. } | HostKeyStatus::Unknown { .. } => match mode {
                StrictHostKeyChecking::No => &[Decision::AcceptWithoutForwarding],
                _ => &[Decision::Refuse],
            },
        };
        assert!(
            expected.contains(&decision),
            "{status:?} {mode:?} {decision:?}"
        );
    }
    let told = message(status, ask.host, ask.port, ask.key);
    assert_eq!(told.is_none(), *status == HostKeyStatus::Known);
}

/// A host that is added is known from then on, and a key that is revoked is refused from then on, whatever stood before.
fn additions(ask: &Ask<'_>, files: &[(PathBuf, String)], status: &HostKeyStatus) {
    let and = |line: String| {
        let mut files = files.to_vec();
        files.push((PathBuf::from("/new"), line));
        files
    };
    if !matches!(status, HostKeyStatus::Revoked { .. }) {
        let line = entry(ask.host, ask.port, ask.key, Hashing::Plain).unwrap();
        assert_eq!(
            ask.of(&and(line)),
            HostKeyStatus::Known,
            "added, and not known"
        );
    }
    let revoked = and(format!("@revoked * {}", written(ask.key)));
    let after = ask.of(&revoked);
    assert!(matches!(after, HostKeyStatus::Revoked { .. }), "{after:?}");
    let noise = and("# a.example\nbroken\n@other a x y\n".to_owned());
    assert_eq!(
        ask.of(&noise),
        *status,
        "lines that say nothing say something"
    );
}
