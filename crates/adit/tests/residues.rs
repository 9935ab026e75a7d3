//! Keys that are not needed any more: this process's own memory is searched for them.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::mpsc::channel;

use adit_proto::cipher::{CipherName, DirectionKeys, MacName};
use adit_proto::packet::{Opener, Sealer, SequenceReset};
use adit_tunnel::identity::file::load;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of memory that are looked at together.
const WINDOW: usize = 1 << 16;
/// Bytes of a secret that are looked for: a key of 64 bytes is two.
const WANTED: usize = 16;

/// A secret that the test itself keeps in a form in which it does not find it.
struct Masked(Vec<u8>);

impl Masked {
    fn random(len: usize) -> Self {
        let mut bytes = vec![0; len];
        let mut random = File::open("/dev/urandom").unwrap();
        random.read_exact(&mut bytes).unwrap();
        Self(bytes)
    }

    fn reveal(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.iter().map(|byte| !byte).collect())
    }

    fn is_at(&self, memory: &[u8]) -> bool {
        memory
            .iter()
            .zip(&self.0[..WANTED])
            .all(|(found, masked)| *found == !masked)
    }

    /// Places of this process's writable memory where the secret stands.
    fn found(&self) -> Vec<String> {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut window = vec![0; WINDOW];
        let mut places = Vec::new();
        for map in maps.lines().filter(|map| map.contains(" rw")) {
            let (start, end) = map.split_once(' ').unwrap().0.split_once('-').unwrap();
            let [start, end] = [start, end].map(|n| u64::from_str_radix(n, 16).unwrap());
            // Windows overlap, so that no secret lies across two.
            for at in (start..end).step_by(WINDOW - 64) {
                // What was read last must not be found in this buffer.
                window.zeroize();
                window.resize(WINDOW, 0);
                let wanted = WINDOW.min(usize::try_from(end - at).unwrap());
                let Ok(read) = memory.read_at(&mut window[..wanted], at) else {
                    continue;
                };
                let hits = window[..read].windows(WANTED).filter(|w| self.is_at(w));
                places.extend(hits.map(|_| map.to_string()));
            }
        }
        places
    }
}

#[test]
fn nothing_is_left_of_the_keys_of_a_connection() {
    for &cipher in CipherName::ALL {
        let secret = Masked::random(cipher.key_len());
        let left = in_thread_that_stays(secret, move |secret| {
            let mac = (!cipher.is_aead()).then_some(MacName::HmacSha256);
            let keys = || DirectionKeys {
                cipher,
                mac,
                key: secret.reveal(),
                iv: Zeroizing::new(vec![1; cipher.iv_len()]),
                mac_key: Zeroizing::new(vec![2; mac.map_or(0, MacName::key_len)]),
            };
            let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
            sealer
                .install(keys(), [0; 256], SequenceReset::Continue)
                .unwrap();
            opener.install(keys(), SequenceReset::Continue).unwrap();
            let mut packet = Vec::new();
            sealer.seal_message(&[2, 0, 0, 0, 0], &mut packet).unwrap();
            opener.open(&mut packet).unwrap();
            assert!(
                !secret.found().is_empty(),
                "{cipher}: the search finds nothing"
            );
        });
        assert_eq!(left, Vec::<String>::new(), "{cipher}");
    }
}

/// An Ed25519 key under the passphrase `secret`.
const ENCRYPTED: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABA1Z/ycuW
H/8W7AqmW6BzYeAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAICTDpJT6IpliZkS5
ZakTLaec/mcVH9xC3mAM8JCX24JHAAAAkIP41oznMa6A2HBDh7M7fB1PtNvkxF0Yi0NH4q
oxAiRqFyol7nWCf+X6XU/p5C5OyeQ7QWjsU+mAd2Mxdjp7tXes81VXozgC/9MqOeVOcxGy
1IwilLrEdLIHB+HQVZ6kLsSvusqO6W8By9wEC8HLHqpex2V4MHs07btBVIPMHk8vDlcEip
Te9qFskQQuupfg3Q==
-----END OPENSSH PRIVATE KEY-----
";

#[test]
fn nothing_is_left_of_a_key_that_was_decrypted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let mut file = OpenOptions::new();
    let mut file = file
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    file.write_all(ENCRYPTED.as_bytes()).unwrap();
    let seed = Masked(
        (0..32u8)
            .map(|i| !i.wrapping_mul(37).wrapping_add(11))
            .collect(),
    );
    let left = in_thread_that_stays(seed, move |seed| {
        let key = load(&path, Some("secret")).unwrap();
        let moved = Some(key);
        assert!(!seed.found().is_empty(), "the search finds nothing");
        drop(moved);
    });
    assert_eq!(left, Vec::<String>::new());
}

/// Runs it in a thread whose stack is still there when memory is searched.
fn in_thread_that_stays(
    secret: Masked,
    work: impl FnOnce(&Masked) + Send + 'static,
) -> Vec<String> {
    let (done, is_done) = channel();
    let (let_go, may_go) = channel::<()>();
    let thread = std::thread::spawn(move || {
        work(&secret);
        done.send(secret).unwrap();
        let _ = may_go.recv();
    });
    let secret = is_done.recv().unwrap();
    let left = secret.found();
    drop(let_go);
    thread.join().unwrap();
    left
}
