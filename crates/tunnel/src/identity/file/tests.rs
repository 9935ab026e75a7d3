//! Keys that the installed `ssh-keygen` makes, loaded and used.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// Types of keys, as `ssh-keygen` wants them.
const TYPES: [&[&str]; 5] = [
    &["-t", "ed25519"],
    &["-t", "ecdsa", "-b", "256"],
    &["-t", "ecdsa", "-b", "384"],
    &["-t", "ecdsa", "-b", "521"],
    &["-t", "rsa", "-b", "2048"],
];

/// A new key in a folder of its own.
fn made(args: &[&str], passphrase: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let out = Command::new("ssh-keygen")
        .args(["-q", "-N", passphrase, "-f"])
        .arg(&path)
        .args(args)
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?} {out:?}");
    (folder, path)
}

/// The key signs as the one in the neighbour file.
fn assert_signs(path: &Path, key: &SigningKey) {
    let text = fs::read_to_string(neighbour(path)).unwrap();
    let public = public_line(&text).unwrap();
    assert_eq!(&public, key.public_key());
    for &algorithm in key.algorithms() {
        let signature = key.sign(algorithm, b"message").unwrap();
        assert_eq!(public.verify(algorithm, b"message", &signature), Ok(()));
        assert!(public.verify(algorithm, b"massage", &signature).is_err());
    }
}

fn fault(path: &Path) -> KeyFileFault {
    match load(path, None).unwrap_err() {
        IdentityError::Unusable { why, .. } => why,
        other => panic!("{other}"),
    }
}

#[test]
fn every_type_is_loaded_from_openssh_format() {
    for args in TYPES {
        let (_folder, path) = made(args, "");
        assert_signs(&path, &load(&path, None).unwrap());
        // A passphrase that is not needed does not matter.
        assert!(load(&path, Some("x")).is_ok());
    }
}

#[test]
fn short_scalars_of_p521_are_loaded() {
    // One in two P-521 scalars is shorter than its curve's order.
    for _ in 0..8 {
        let (_folder, path) = made(TYPES[3], "");
        assert_signs(&path, &load(&path, None).unwrap());
    }
}

#[test]
fn every_type_is_loaded_with_its_passphrase() {
    for args in TYPES {
        let args = [args, &["-a", "2"]].concat();
        let (_folder, path) = made(&args, "open sesame");
        assert_signs(&path, &load(&path, Some("open sesame")).unwrap());
        let error = load(&path, None).unwrap_err();
        assert!(
            matches!(error, IdentityError::NeedsPassphrase(_)),
            "{error}"
        );
        for wrong in ["Open sesame", ""] {
            let error = load(&path, Some(wrong)).unwrap_err();
            assert!(
                matches!(error, IdentityError::WrongPassphrase(_)),
                "{error}"
            );
        }
    }
}

#[test]
fn other_ciphers_of_key_files_are_decrypted() {
    for cipher in [
        "aes128-cbc",
        "aes256-cbc",
        "aes128-ctr",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        let args = ["-t", "ed25519", "-a", "1", "-Z", cipher];
        let (_folder, path) = made(&args, "p");
        let key = load(&path, Some("p")).unwrap_or_else(|error| panic!("{cipher}: {error}"));
        assert_signs(&path, &key);
        let error = load(&path, Some("q")).unwrap_err();
        assert!(
            matches!(error, IdentityError::WrongPassphrase(_)),
            "{cipher} {error}"
        );
    }
}

#[test]
fn cipher_that_is_not_supported_is_named() {
    let (_folder, path) = made(&["-t", "ed25519", "-a", "1", "-Z", "3des-cbc"], "p");
    let error = load(&path, Some("p")).unwrap_err().to_string();
    assert!(
        error.contains("unsupported encryption \"3des-cbc\"\nhint: convert it"),
        "{error}"
    );
}

#[test]
fn pem_formats_are_loaded() {
    for (format, types) in [("PEM", &TYPES[1..]), ("PKCS8", &TYPES[1..])] {
        for args in types {
            let args = [args, &["-m", format][..]].concat();
            let (_folder, path) = made(&args, "");
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("OPENSSH"), "{text}");
            assert_signs(&path, &load(&path, None).unwrap());
        }
    }
}

/// `ssh-keygen` encrypts PEM with AES-128-CBC and PKCS#8 with PBES2.
#[test]
fn encrypted_pem_formats_are_loaded_with_their_passphrase() {
    for format in ["PEM", "PKCS8"] {
        for args in &TYPES[1..] {
            let args = [args, &["-m", format][..]].concat();
            let (_folder, path) = made(&args, "open sesame");
            assert_opens(&path, "open sesame");
        }
    }
}

#[test]
fn other_ways_of_openssl_to_encrypt_are_known() {
    let pkcs8 = |args: &'static str| format!("pkcs8 -topk8 {args} -passout pass:p").leak();
    for (args, command) in [
        (TYPES[4], "rsa -aes192 -traditional -passout pass:p"),
        (TYPES[4], "rsa -aes256 -traditional -passout pass:p"),
        (TYPES[4], "rsa -des3 -traditional -passout pass:p"),
        (TYPES[1], "ec -aes256 -passout pass:p"),
        (TYPES[4], pkcs8("-v2 aes-256-cbc -v2prf hmacWithSHA512")),
        (TYPES[4], pkcs8("-v2 aes-128-cbc -v2prf hmacWithSHA1")),
        (TYPES[4], pkcs8("-v2 des3")),
        (TYPES[1], pkcs8("-scrypt")),
    ] {
        let (_folder, path) = made(&[args, &["-m", "PEM"]].concat(), "");
        openssl(&path, command);
        assert_opens(&path, "p");
    }
}

/// Ed25519 has no other form in PEM.
#[test]
fn ed25519_of_openssl_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    for (args, passphrase) in [("", None), ("-aes256 -pass pass:p", Some("p"))] {
        let command = format!("genpkey -algorithm ed25519 {args} -out {}", path.display());
        let mut openssl = Command::new("openssl");
        let out = openssl.args(command.split_whitespace()).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        let key = load(&path, passphrase).unwrap();
        assert_eq!(
            key.public_key().key_type(),
            adit_proto::key::KeyType::Ed25519
        );
    }
}

#[test]
fn encryption_that_is_not_known_is_named_with_a_way_out() {
    for (command, named) in [
        (
            "rsa -aria128 -traditional -passout pass:p",
            "\"ARIA-128-CBC\"",
        ),
        (
            "pkcs8 -topk8 -v2 aria-128-cbc -passout pass:p",
            "encrypted PKCS#8 key",
        ),
        (
            "pkcs8 -topk8 -v1 PBE-SHA1-3DES -passout pass:p",
            "encrypted PKCS#8 key",
        ),
        (
            "pkcs8 -topk8 -iter 20000000 -passout pass:p",
            "\"PBKDF2 of 20000000 rounds\"",
        ),
    ] {
        let (_folder, path) = made(&[TYPES[4], &["-m", "PEM"]].concat(), "");
        openssl(&path, command);
        let error = load(&path, Some("p")).unwrap_err().to_string();
        assert!(error.contains(named), "{command}: {error}");
    }
    let (_folder, path) = made(TYPES[0], "");
    let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\nAQID\n-----END";
    fs::write(&path, format!("{text} RSA PRIVATE KEY-----\n")).unwrap();
    let error = load(&path, Some("p")).unwrap_err().to_string();
    assert!(
        error.contains("hint: convert it with: ssh-keygen -p -f '/"),
        "{error}"
    );
}

#[test]
fn damaged_encrypted_pem_is_refused_without_panic() {
    for args in [["-m", "PEM"], ["-m", "PKCS8"]] {
        let (_folder, path) = made(&[TYPES[1], &args].concat(), "secret");
        let text = fs::read_to_string(&path).unwrap();
        let end = text.find("-----END").unwrap();
        for n in (0..end).step_by(7) {
            fs::write(&path, &text[..n]).unwrap();
            assert!(load(&path, Some("secret")).is_err());
            let mut damaged = text.clone().into_bytes();
            damaged[n] = b'q';
            fs::write(&path, damaged).unwrap();
            let _ = load(&path, Some("secret"));
        }
    }
}

/// Converts a key file in place.
fn openssl(path: &Path, command: &str) {
    let out = Command::new("openssl")
        .args(command.split_whitespace())
        .arg("-in")
        .arg(path)
        .arg("-out")
        .arg(path.with_extension("new"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{command}: {out:?}");
    fs::rename(path.with_extension("new"), path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// With the right passphrase, and with no other.
fn assert_opens(path: &Path, passphrase: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(
        text.contains("ENCRYPTED") && !text.contains("OPENSSH"),
        "{text}"
    );
    assert_signs(path, &load(path, Some(passphrase)).unwrap());
    let error = load(path, None).unwrap_err();
    assert!(
        matches!(error, IdentityError::NeedsPassphrase(_)),
        "{error}"
    );
    let error = load(path, Some("wrong")).unwrap_err();
    assert!(
        matches!(error, IdentityError::WrongPassphrase(_)),
        "{error}"
    );
}

#[test]
fn file_that_others_can_use_is_refused() {
    let (_folder, path) = made(TYPES[0], "");
    for mode in [0o644, 0o640, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = load(&path, None).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, IdentityError::Unprotected { .. }), "{text}");
        for part in [
            "UNPROTECTED PRIVATE KEY FILE",
            &format!("{mode:04o}"),
            "chmod 600 '/",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(load(&path, None).is_ok());
}

#[test]
fn public_key_is_called_one_whoever_can_read_it() {
    let (_folder, path) = made(TYPES[0], "");
    let public = neighbour(&path);
    for mode in [0o644, 0o600] {
        fs::set_permissions(&public, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(fault(&public), KeyFileFault::PublicKey, "{mode:o}");
    }
    let text = load(&public, None).unwrap_err().to_string();
    let hint = format!("hint: name the private key, most often {}", path.display());
    assert!(
        text.contains("it is the public key") && text.contains(&hint),
        "{text}"
    );
}

#[test]
fn public_half_needs_no_passphrase() {
    let (_folder, path) = made(TYPES[0], "secret");
    let key = load(&path, Some("secret")).unwrap();
    let expected = Some(key.public_key().clone());
    assert_eq!(public_half(&path), expected);
    assert_eq!(public_half(&neighbour(&path)), expected);
    fs::remove_file(neighbour(&path)).unwrap();
    assert_eq!(public_half(&path), expected);
    fs::remove_file(&path).unwrap();
    assert_eq!(public_half(&path), None);
}

#[test]
fn files_that_are_no_keys_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let error = load(&path, None).unwrap_err();
    assert!(
        matches!(error, IdentityError::Io { act: "read", .. }),
        "{error}"
    );
    create_private(&path, b"ssh-ed25519 AAAA\n").unwrap();
    assert_eq!(fault(&path), KeyFileFault::UnknownFormat);
    fs::write(&path, "-----BEGIN DSA PRIVATE KEY-----\n-----END\n").unwrap();
    assert_eq!(fault(&path), KeyFileFault::BadPem);
    fs::write(&path, "-----BEGIN X-----\n-----END X-----\n").unwrap();
    assert_eq!(fault(&path), KeyFileFault::UnknownFormat);
    fs::write(&path, [0xff; 10]).unwrap();
    assert_eq!(fault(&path), KeyFileFault::UnknownFormat);
    fs::File::create(&path)
        .unwrap()
        .set_len(MAX_FILE_LEN + 1)
        .unwrap();
    assert_eq!(fault(&path), KeyFileFault::TooLong);
}

#[test]
fn damaged_keys_are_refused_without_panic() {
    let (_folder, path) = made(TYPES[0], "");
    let text = fs::read_to_string(&path).unwrap();
    let content = Pem::parse(&text).unwrap().content;
    for n in 0..content.len() {
        let cut = Container::parse(&content[..n]).map(|container| container.open(None).is_ok());
        // A cut at the end leaves less than the private part's length claims.
        assert_ne!(cut, Ok(true), "{n}");
        let mut damaged = content.clone();
        damaged[n] ^= 0x80;
        let opened = Container::parse(&damaged).map(|container| container.open(Some("p")));
        if let Ok(Ok(key)) = opened {
            // Only the comment and names that are not looked at may differ.
            assert_eq!(key.public_key(), load(&path, None).unwrap().public_key());
        }
    }
}

#[test]
fn new_host_key_is_private_and_read_by_ssh_keygen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host");
    let key = SigningKey::generate_ed25519().unwrap();
    write_new_host_key(&path, &key).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_signs(&path, &load(&path, None).unwrap());
    fs::remove_file(neighbour(&path)).unwrap();
    let out = Command::new("ssh-keygen")
        .arg("-yf")
        .arg(&path)
        .output()
        .unwrap();
    let line = String::from_utf8(out.stdout).unwrap();
    assert_eq!(public_line(&line).as_ref(), Some(key.public_key()));

    let error = write_new_host_key(&path, &key).unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
    let (_folder, ecdsa) = made(TYPES[1], "");
    let ecdsa = load(&ecdsa, None).unwrap();
    let error = write_new_host_key(&folder.path().join("other"), &ecdsa).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("only Ed25519 keys can be written")
    );
}
