//! Tests of the requests for keys in files, and of the questions to the user.

use std::path::PathBuf;
use std::process::Command;

use adit_proto::connection::Connection;
use adit_proto::key::{SignatureAlgorithm, SigningKey};
use adit_proto::message::userauth::Prompt;
use adit_proto::transport::algorithms::{Algorithms, Compression};
use adit_proto::userauth::client::ClientAuthEvent;
use adit_proto::userauth::server::AuthMethod;
use adit_proto::wire::Writer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::keys::{Candidate, ordered};
use super::*;
use crate::client::settings::AgentKeys;
use crate::config::algorithms::{AlgorithmKind, AlgorithmList};
use crate::config::ssh_config::{ClientOptions, IdentityAgent};
use crate::identity::agent::AgentKey;
use crate::identity::file;
use crate::net::ServerLogin;
use crate::net::login::LoginRequest;
use crate::net::pair::{ends, ends_with};

/// Answer of the test's server to a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Taken,
    /// Accepted without a signature, against RFC 4252.
    TakenUnsigned,
    Refused,
}

/// Request that the test's server got.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    None,
    Query,
    Signed,
}

/// Logs in with one key file. Returns the success, the requests of the client, and the questions to the user.
async fn log_in_with(
    passphrase: &str,
    verdict: Key,
    answer: &str,
) -> (bool, Vec<Asked>, Vec<String>) {
    let (_folder, path) = made("ed25519", passphrase);
    log_in_as(settings(path), verdict, answer).await
}

/// The same with other settings.
async fn log_in_as(
    settings: ClientSettings,
    verdict: Key,
    answer: &str,
) -> (bool, Vec<Asked>, Vec<String>) {
    let (mut client, mut server) = ends();
    let (prompts, mut questions) = Prompts::channel();
    let user = tokio::spawn({
        let answer = answer.to_owned();
        async move {
            let mut asked = Vec::new();
            while let Some(question) = questions.recv().await {
                asked.push(question.text);
                question.answer.send(answer.clone()).unwrap();
            }
            asked
        }
    });
    let judge = tokio::spawn(async move {
        let mut asked = Vec::new();
        if let Some(success) = judge(&mut server, verdict, &mut asked).await {
            let (_connection, mut inbox) = server.finish(success);
            while inbox.recv().await.is_some() {}
        }
        asked
    });
    accept_host_key(&mut client).await;
    let result = log_in(&mut client, &settings, Trust::Full, &prompts).await;
    client.end("the test is over");
    drop(prompts);
    (result.is_ok(), judge.await.unwrap(), user.await.unwrap())
}

/// Answers until the client is logged in or gone, and notes its requests.
async fn judge(
    server: &mut ServerLogin,
    verdict: Key,
    asked: &mut Vec<Asked>,
) -> Option<LoginSuccess> {
    while let Some(LoginRequest { method, answer, .. }) = server.next().await {
        asked.push(match method {
            AuthMethod::None => Asked::None,
            AuthMethod::KeyQuery(_) => Asked::Query,
            AuthMethod::KeySigned(_) => Asked::Signed,
            _ => panic!("{method:?}"),
        });
        match (method, verdict) {
            (AuthMethod::KeyQuery(query), Key::Taken) => answer.confirm_key(&query).unwrap(),
            (AuthMethod::KeySigned(proof), Key::Taken) => return answer.accept(proof).ok(),
            (AuthMethod::KeyQuery(_), Key::TakenUnsigned) => {
                answer.pretend_success();
                return None;
            }
            _ => answer.reject().unwrap(),
        }
    }
    None
}

async fn accept_host_key(client: &mut ClientLogin) {
    while let Some(event) = client.next().await {
        if let ClientLoginEvent::HostKey(_) = event {
            return client.accept_host_key();
        }
    }
}

fn made(kind: &str, passphrase: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let out = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-a", "2", "-N", passphrase, "-f"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    (folder, path)
}

fn settings(key: PathBuf) -> ClientSettings {
    settings_with(key, ClientOptions::default())
}

fn settings_with(key: PathBuf, options: ClientOptions) -> ClientSettings {
    let options = ClientOptions {
        identity_files: vec![key],
        identity_agent: Some(IdentityAgent::Disabled),
        ..options
    };
    ClientSettings::new("host", "user", "/nonexistent".into(), options)
}

#[tokio::test]
async fn key_without_a_passphrase_signs_at_once() {
    let (success, asked, prompts) = log_in_with("", Key::Taken, "").await;
    assert!(success);
    assert_eq!(asked, [Asked::None, Asked::Signed]);
    assert!(prompts.is_empty());
}

#[tokio::test]
async fn server_may_log_the_user_in_without_a_signature() {
    let (success, asked, prompts) = log_in_with("open sesame", Key::TakenUnsigned, "").await;
    assert!(success);
    assert_eq!(asked, [Asked::None, Asked::Query]);
    assert!(prompts.is_empty());
}

/// True if the first key is sent before any answer.
async fn offers_first_key(passphrase: &str, compression: Compression) -> bool {
    let (_folder, path) = made("ed25519", passphrase);
    let algorithms = Algorithms {
        compression,
        ..Algorithms::default()
    };
    let (mut client, _never_answers) = ends_with(&algorithms);
    accept_host_key(&mut client).await;
    let (settings, prompts) = (settings(path), Prompts::none());
    let mut login = Login::new(&mut client, &settings, &prompts);
    login.offer_first_key().await.unwrap();
    login.keys.is_some_and(|keys| keys.sent.is_some())
}

#[tokio::test]
async fn first_key_does_not_wait_for_the_answer_to_none() {
    for passphrase in ["", "open sesame"] {
        assert!(offers_first_key(passphrase, Compression::Off).await);
    }
}

/// A server that logs the user in without a key decompresses what follows.
#[tokio::test]
async fn first_key_waits_if_compression_may_begin_after_the_login() {
    assert!(!offers_first_key("", Compression::Delayed).await);
}

#[tokio::test]
async fn passphrase_is_asked_for_after_the_server_accepts_the_key() {
    let (success, asked, prompts) = log_in_with("open sesame", Key::Taken, "open sesame").await;
    assert!(success);
    assert_eq!(asked, [Asked::None, Asked::Query, Asked::Signed]);
    assert_eq!(prompts.len(), 1, "{prompts:?}");
    assert!(prompts[0].starts_with("Enter passphrase for key '"));
}

#[tokio::test]
async fn passphrase_is_not_asked_for_if_the_server_refuses_the_key() {
    let (success, asked, prompts) = log_in_with("open sesame", Key::Refused, "open sesame").await;
    assert!(!success);
    assert_eq!(asked, [Asked::None, Asked::Query]);
    assert!(prompts.is_empty(), "{prompts:?}");
}

#[tokio::test]
async fn wrong_passphrase_is_asked_for_three_times() {
    let (success, asked, prompts) = log_in_with("open sesame", Key::Taken, "sesame").await;
    assert!(!success);
    assert_eq!(asked, [Asked::None, Asked::Query]);
    assert_eq!(prompts.len(), 3, "{prompts:?}");
}

/// The clock is simulated, and advances when nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn login_times_out_if_the_server_does_not_answer() {
    let (mut client, _never_answers) = ends();
    accept_host_key(&mut client).await;
    let settings = settings("/nonexistent/key".into());
    let prompts = Prompts::none();
    let result = log_in(&mut client, &settings, Trust::Full, &prompts).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("no answer to the login"), "{error}");
}

fn accepting(key: PathBuf, algorithms: &str) -> ClientSettings {
    let mut options = ClientOptions::default();
    let list = AlgorithmList::parse(AlgorithmKind::Signature, algorithms).unwrap();
    options.connection.pubkey_accepted_algorithms = Some(list);
    settings_with(key, options)
}

/// The server logs the user in without a key, before the agent has listed its keys.
#[tokio::test]
async fn success_of_none_is_noticed_while_the_agent_lists_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let agent = tokio::net::UnixListener::bind(&socket).unwrap();
    let (mut client, mut server) = ends();
    let let_in = async {
        let request = server.next().await.unwrap();
        request.answer.pretend_success();
    };
    accept_host_key(&mut client).await;
    let handle = client.handle();
    let serve_agent = async {
        let (mut connection, _) = agent.accept().await.unwrap();
        let_in.await;
        while !handle.inspect(Connection::is_authenticated) {
            tokio::task::yield_now().await;
        }
        let public = SigningKey::generate_ed25519().unwrap().public_key().clone();
        let blob = public.blob();
        // SSH_AGENT_IDENTITIES_ANSWER with one key and no comment.
        let mut answer = Writer::message(12);
        answer.u32(1).string(blob).string("");
        let mut framed = Writer::new();
        framed.string(answer.as_slice());
        connection.write_all(framed.as_slice()).await.unwrap();
        // Only now: an agent that closes earlier counts as one without keys.
        connection.read_to_end(&mut Vec::new()).await.unwrap();
    };
    let mut settings = settings("/nonexistent/key".into());
    settings.login.agent = IdentityAgent::Socket(socket);
    let prompts = Prompts::none();
    let log_in = log_in(&mut client, &settings, Trust::Full, &prompts);
    let (result, ()) = tokio::join!(log_in, serve_agent);
    assert!(result.is_ok(), "{result:?}");
}

/// `AuthenticationMethods keyboard-interactive,publickey`: the key is sent before that is known.
#[tokio::test]
async fn method_is_tried_again_after_a_partial_success() {
    let (_folder, path) = made("ed25519", "");
    let (mut client, _never_answers) = ends();
    accept_host_key(&mut client).await;
    let refusal = |method: &str, partial_success| {
        ClientAuthEvent::Failure(Failure {
            methods: vec![method.into()],
            partial_success,
        })
    };
    let questions = InfoRequest {
        name: String::new(),
        instruction: String::new(),
        prompts: vec![Prompt {
            text: "Code: ".into(),
            echo: true,
        }],
    };
    let said = vec![
        refusal("keyboard-interactive", false),
        refusal("keyboard-interactive", false),
        ClientAuthEvent::Prompts(questions),
        refusal("publickey", true),
        ClientAuthEvent::Success,
    ];
    client.hear(said).await;
    let (prompts, mut asked) = Prompts::channel();
    let user = tokio::spawn(async move {
        let question = asked.recv().await.unwrap();
        question.answer.send("123456".into()).unwrap();
        asked.recv().await.is_none()
    });
    let settings = settings(path);
    let result = log_in(&mut client, &settings, Trust::Full, &prompts).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(
        client.next().await.is_none(),
        "an answer was not waited for"
    );
    drop(prompts);
    assert!(user.await.unwrap(), "the user was asked again");
}

#[tokio::test]
async fn keys_are_not_tried_before_a_preferred_method() {
    let (_folder, path) = made("ed25519", "");
    let mut settings = settings(path);
    settings.login.methods = vec![LoginMethod::Ask(Asking::Password)];
    let (success, asked, _) = log_in_as(settings, Key::Taken, "").await;
    assert!(!success);
    assert_eq!(asked, [Asked::None]);
}

#[tokio::test]
async fn keys_whose_algorithms_are_not_accepted_are_skipped_without_a_question() {
    for passphrase in ["", "open sesame"] {
        let (_folder, path) = made("ed25519", passphrase);
        let settings = accepting(path, "rsa-sha2-*,ecdsa-*");
        let (success, asked, prompts) = log_in_as(settings, Key::Taken, passphrase).await;
        assert!(!success);
        assert_eq!(asked, [Asked::None]);
        assert!(prompts.is_empty(), "{prompts:?}");
    }
}

#[tokio::test]
async fn rsa_keys_sign_with_the_accepted_algorithm() {
    let (_folder, path) = made("rsa", "");
    let public = file::public_half(&path).unwrap();
    let (mut client, _server) = ends();
    for (list, expected) in [
        ("-nothing", SignatureAlgorithm::RsaSha512),
        ("-rsa-sha2-512", SignatureAlgorithm::RsaSha256),
        ("rsa-sha2-256,rsa-sha2-512", SignatureAlgorithm::RsaSha256),
    ] {
        let settings = accepting(path.clone(), list);
        let prompts = Prompts::none();
        let login = Login::new(&mut client, &settings, &prompts);
        let keys = login.keys().await.unwrap();
        let algorithm = login.algorithm(&keys, &public);
        assert_eq!(algorithm, Some(expected), "{list}");
    }
}

#[test]
fn keys_of_the_agent_that_a_file_names_come_first() {
    let in_agent = |comment: &str| {
        let public = SigningKey::generate_ed25519().unwrap().public_key().clone();
        let key = AgentKey {
            blob: public.blob().to_vec(),
            comment: comment.into(),
        };
        (key, public)
    };
    let [(a, _), (b, named_b), (c, _), (d, named_d)] = ["a", "b", "c", "d"].map(in_agent);
    let keys = vec![a.clone(), b.clone(), c.clone(), d.clone()];
    let files = vec![
        (PathBuf::from("/d"), Some(named_d)),
        (PathBuf::from("/file"), None),
        (PathBuf::from("/b"), Some(named_b)),
    ];
    let file = Candidate::File("/file".into());
    let [a, b, c, d] = [a, b, c, d].map(Candidate::Agent);
    let all = ordered(keys.clone(), &files, AgentKeys::All);
    assert_eq!(all.iter().collect::<Vec<_>>(), [&b, &d, &a, &c, &file]);
    assert_eq!(ordered(keys, &files, AgentKeys::OfFiles), [b, d, file]);
}

#[tokio::test]
async fn questions_keep_their_lines_and_have_name_and_instruction() {
    let prompt = |text: &str| Prompt {
        text: text.into(),
        echo: true,
    };
    let request = InfoRequest {
        name: "Two\x1b[2J factors\n".into(),
        instruction: "1.\tpush\r\n2.\tcode\n\n".into(),
        prompts: vec![prompt("Option\n\x07(1-2): "), prompt("Sure? ")],
    };
    let (mut client, _server) = ends();
    let settings = settings("/nonexistent".into());
    let (prompts, mut questions) = Prompts::channel();
    let user = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Some(question) = questions.recv().await {
            asked.push(question.text);
            question.answer.send("1".into()).unwrap();
        }
        asked
    });
    let login = Login::new(&mut client, &settings, &prompts);
    assert_eq!(login.answer(&request).await.unwrap().len(), 2);
    drop(prompts);
    assert_eq!(
        user.await.unwrap(),
        [
            "Two\\u{1b}[2J factors\n1.\tpush\n2.\tcode\n(user@host) Option\n\\u{7}(1-2): ",
            "(user@host) Sure? "
        ]
    );
}
