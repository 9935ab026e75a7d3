//! A real `ssh-agent`, and sockets that answer as none should.

use std::process::{Child, Command, Stdio};

use adit_proto::key::{KeyType, PublicKey};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;

/// An `ssh-agent` that ends with the test.
struct Running {
    child: Child,
    folder: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(folder.path().join("agent"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Connects as soon as the agent listens.
    async fn connect(&self) -> Agent {
        let path = self.folder.path().join("agent");
        for _ in 0..500 {
            match Agent::connect(&path).await {
                Ok(agent) => return agent,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("ssh-agent does not listen");
    }

    /// Makes a key and gives it to the agent.
    fn add(&self, name: &str, args: &[&str]) {
        let key = self.folder.path().join(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-N", "", "-C", name, "-f"]).arg(&key);
        let made = keygen.args(args).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut add = Command::new("ssh-add");
        add.env("SSH_AUTH_SOCK", self.folder.path().join("agent"));
        let added = add.arg("-q").arg(&key).output().unwrap();
        assert!(added.status.success(), "{added:?}");
    }
}

#[tokio::test]
async fn keys_of_a_real_agent_are_listed_and_sign() {
    let running = Running::start();
    let mut agent = running.connect().await;
    assert_eq!(agent.identities().await.unwrap(), []);
    running.add("first", &["-t", "ed25519"]);
    running.add("second", &["-t", "rsa", "-b", "2048"]);
    for bits in ["256", "384", "521"] {
        running.add(bits, &["-t", "ecdsa", "-b", bits]);
    }

    let keys = agent.identities().await.unwrap();
    let comments: Vec<_> = keys.iter().map(|key| key.comment.as_str()).collect();
    assert_eq!(comments, ["first", "second", "256", "384", "521"]);
    for AgentKey { blob, .. } in &keys {
        let public = PublicKey::parse(blob).unwrap();
        for &algorithm in public.key_type().algorithms() {
            let signature = agent.sign(blob, b"data", algorithm).await.unwrap();
            assert_eq!(public.verify(algorithm, b"data", &signature), Ok(()));
        }
    }
    let rsa = PublicKey::parse(&keys[1].blob).unwrap();
    assert_eq!(rsa.key_type(), KeyType::Rsa);
}

#[tokio::test]
async fn refusal_leaves_the_connection_usable() {
    let running = Running::start();
    let mut agent = running.connect().await;
    running.add("key", &["-t", "ed25519"]);
    let mut blob = agent.identities().await.unwrap()[0].blob.clone();
    let last = blob.len() - 1;
    blob[last] ^= 1;
    let refused = agent.sign(&blob, b"", SignatureAlgorithm::Ed25519).await;
    let error = refused.unwrap_err();
    assert!(error.is_refusal(), "{error}");
    blob[last] ^= 1;
    assert!(
        agent
            .sign(&blob, b"", SignatureAlgorithm::Ed25519)
            .await
            .is_ok()
    );
}

/// An agent whose other end is in the test's hands.
async fn pair() -> (Agent, UnixStream) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    let agent = Agent::connect(&path).await.unwrap();
    (agent, listener.accept().await.unwrap().0)
}

/// The error of a listing that gets these bytes for an answer, and nothing more.
async fn listing_error(answer: &[u8]) -> String {
    let (mut agent, mut peer) = pair().await;
    peer.write_all(answer).await.unwrap();
    peer.shutdown().await.unwrap();
    agent.identities().await.unwrap_err().to_string()
}

fn framed(reply: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.string(reply);
    w.into_vec()
}

#[tokio::test]
async fn answers_that_break_the_protocol_are_errors() {
    for (answer, expected) in [
        (vec![], "it closed the connection"),
        (framed(&[12, 0])[..5].to_vec(), "it closed the connection"),
        (vec![0xff; 4], "message of 4294967295 bytes is longer"),
        (framed(&[]), "message ends inside reply type"),
        (framed(&[5]), "it refused"),
        (framed(&[6]), "unexpected reply of type 6"),
        (
            framed(&[12, 0xff, 0xff, 0xff, 0xff]),
            "4294967295 keys are more",
        ),
        (framed(&[12, 0, 0, 0, 1]), "message ends inside key blob"),
        (framed(&[12, 0, 0, 0, 0, 9]), "1 bytes after the end"),
    ] {
        let error = listing_error(&answer).await;
        assert!(
            error.starts_with("cannot list the keys of agent /"),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn comments_cannot_command_a_terminal() {
    let mut reply = Writer::message(IDENTITIES_ANSWER);
    reply.u32(1).string(b"blob").string(b"a\x1b[2Jb\xff\n");
    let keys = parse_identities(reply.as_slice()).unwrap();
    assert_eq!(keys[0].comment, "a\\u{1b}[2Jb\u{fffd}\\u{a}");
}

#[tokio::test]
async fn silent_agent_is_given_up_and_its_late_answer_not_taken() {
    let (mut agent, mut peer) = pair().await;
    let given_up = agent.identities_within(Duration::from_millis(5)).await;
    let error = given_up.unwrap_err();
    assert!(
        error.to_string().ends_with("did not answer in time"),
        "{error}"
    );
    peer.write_all(&framed(&[12, 0, 0, 0, 0])).await.unwrap();
    let error = agent.identities().await.unwrap_err();
    assert!(error.to_string().contains("earlier request"), "{error}");
}

#[tokio::test]
async fn signature_of_another_algorithm_is_refused() {
    let mut signature = Writer::new();
    signature.string("ssh-rsa").string([1; 256]);
    let mut reply = Writer::message(SIGN_RESPONSE);
    reply.string(signature.as_slice());
    let error = parse_signature(reply.as_slice(), SignatureAlgorithm::RsaSha512).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it signed with another algorithm than rsa-sha2-512"
    );
}

#[tokio::test]
async fn missing_agent_is_named() {
    let error = Agent::connect(Path::new("/nonexistent/agent"))
        .await
        .unwrap_err();
    let expected = "cannot connect to agent /nonexistent/agent: No such file";
    assert!(error.to_string().starts_with(expected), "{error}");
}
