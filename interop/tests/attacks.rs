//! Attackers and odd peers, played by the raw peer of `interop/peers/raw`, and what they must meet: a bounded log,
//! memory given back, honest connections served, and the words that a person needs.
//!
//! With `ADIT_BIN=/usr/bin/ssh ADITD_BIN=/usr/sbin/sshd` the same is asked of OpenSSH.

use adit_interop::forward::{Address, Forward};
use adit_interop::missing::Missing;
use adit_interop::need;
use adit_interop::peer::{self, Adit, Client, ClientAsk, Peer, RawServer, Server, ServerAsk};
use adit_interop::ports::free_port;
use adit_interop::process::Process;
use adit_interop::scratch::{Key, Scratch};
use adit_interop::traffic::{Target, Visitor};
use adit_interop::wait::{self, Pending};
use std::fs;
use std::process::Command;

/// The most that a few dozen ill-meant connections may leave in a log: some hundred bytes each.
const LOG: usize = 48 * 1024;
/// The most that one login may make aditd hold while no target has answered, in KiB, and what it may keep afterwards.
const HELD: u64 = 64 * 1024;

/// An aditd that is attacked.
struct Attacked {
    scratch: Scratch,
    server: Server,
}

impl Attacked {
    fn start(lines: &[&str]) -> Result<Self, Missing> {
        // An attacker is shut out soon; what is tried here holds without that, too.
        let open = match Adit.wording() {
            peer::Wording::Adit => &["PerSourcePenalties no"][..],
            peer::Wording::OpenSsh => &[],
        };
        Self::start_as(&Adit, &[lines, open].concat())
    }

    fn start_as(kind: &dyn Peer, lines: &[&str]) -> Result<Self, Missing> {
        kind.find()?;
        RawServer("").find()?;
        let scratch = Scratch::new()?;
        // Attackers and honest clients share the one address here, so none is shut out for what others did.
        let spared = ["PerSourcePenalties no"];
        let known = Adit.wording() == peer::Wording::Adit;
        let lines = [lines, if known { &spared } else { &[] }].concat();
        let server = Server::start(kind, &scratch, &ServerAsk::config(&lines));
        Ok(Self { scratch, server })
    }

    /// Starts an attack that goes on until the guard is dropped.
    fn by(&self, attack: &str) -> Process {
        peer::attack(
            attack,
            &self.scratch,
            self.server.port,
            self.server.process.id(),
        )
    }

    /// An attack from its beginning to its end: what the attacker has to say.
    fn after(&self, attack: &str) -> String {
        let mut process = self.by(attack);
        let ended = process
            .wait_for_end()
            .unwrap_or_else(|late| panic!("{late}"));
        assert!(ended.success(), "{attack}: {}", process.last_words());
        process.output().trim().to_owned()
    }

    /// Panics unless somebody else is let in and served.
    fn still_serves(&self) {
        self.still_serves_with(Key::User);
    }

    /// The same with this key.
    fn still_serves_with(&self, key: Key) {
        let target = Target::tcp();
        let forward = Forward::local(Address::loopback(free_port()), target.address().clone());
        let visitor = Visitor::new(forward.listen().clone());
        let ask = ClientAsk {
            key,
            ..ClientAsk::forwards([forward])
        };
        let _client = Client::start(&Adit, &self.scratch, self.server.port, &ask);
        visitor
            .echo(b"still there")
            .unwrap_or_else(|lost| panic!("{lost}"));
    }

    fn log(&self) -> String {
        self.server.process.errors()
    }

    fn gives_memory_back(&self, before: u64) {
        wait::until("the memory of the attack", || {
            match self.server.process.memory("VmRSS") {
                held if held < before + HELD / 4 => Ok(()),
                held => Err(Pending::NotYet(format!("{held} KiB, {before} before"))),
            }
        })
        .unwrap_or_else(|late| panic!("{late}"));
    }
}

/// aditd with few descriptors, of which it may not have more.
struct Poor;

impl Peer for Poor {
    fn name(&self) -> &'static str {
        "poor"
    }

    fn find(&self) -> Result<(), Missing> {
        Adit.find()
    }

    fn server(&self, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
        let aditd = Adit.server(scratch, port, ask);
        let mut command = Command::new("prlimit");
        command
            .arg("--nofile=1024:1024")
            .arg(aditd.get_program())
            .args(aditd.get_args());
        command
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        Adit.client(scratch, port, ask)
    }

    fn key_exchanges(&self, log: &str) -> Option<usize> {
        Adit.key_exchanges(log)
    }
}

// ---- before the login ----

#[test]
fn words_of_strangers_are_cut_and_escaped_in_the_log() {
    let attacked = need!(Attacked::start(&["LogLevel VERBOSE"]));
    for attack in ["huge_disconnect", "huge_user", "odd_identification"] {
        let before = attacked.log().len();
        attacked.after(attack);
        let log = attacked.log();
        let added = log.len() - before;
        assert!(added < LOG, "{attack} added {added} bytes to the log");
        plain(&log);
    }
    attacked.still_serves();
}

#[test]
fn logins_that_fail_in_a_row_do_not_fill_the_log() {
    let attacked = need!(Attacked::start(&["LogLevel INFO"]));
    attacked.after("strangers_in_a_row");
    let log = attacked.log();
    assert!(log.len() < LOG, "{} bytes", log.len());
    assert!(log.contains("stranger0"), "the first are written out");
}

#[test]
fn the_login_has_an_order() {
    let attacked = need!(Attacked::start(&[]));
    for attack in ["second_kexinit", "userauth_without_service", "another_user"] {
        let said = attacked.after(attack);
        let refused = said == "passed over" || said.starts_with("ended: ");
        assert!(refused, "{attack}: {said}");
    }
    attacked.still_serves();
}

#[test]
fn the_method_none_counts_as_a_try() {
    let attacked = need!(Attacked::start(&["MaxAuthTries 6"]));
    let said = attacked.after("none_again_and_again");
    let answers = said.split(' ').next().and_then(|count| count.parse().ok());
    // sshd gives away the first, which only asks for the methods.
    assert!(answers.is_some_and(|count: u32| count <= 7), "{said}");
}

#[test]
fn an_unknown_user_gets_the_answers_of_a_known_one() {
    let attacked = need!(Attacked::start(&[]));
    assert_eq!(attacked.after("known_and_unknown"), "alike");
}

// ---- after the login ----

#[test]
fn names_of_channels_and_requests_are_cut_and_escaped_in_the_log() {
    let attacked = need!(Attacked::start(&[]));
    attacked.after("odd_names_of_channels");
    let log = attacked.log();
    assert!(log.len() < LOG, "{} bytes", log.len());
    plain(&log);
}

#[test]
fn a_burst_of_channels_at_a_server_that_was_stopped_is_served() {
    let attacked = need!(Attacked::start(&["LogLevel INFO"]));
    assert_eq!(attacked.after("burst"), "1500 confirmed, 0 refused");
}

#[test]
fn targets_that_do_not_answer_hold_up_no_others() {
    let attacked = need!(Attacked::start(&["LogLevel INFO"]));
    assert_eq!(attacked.after("silent_targets"), "served");
}

#[test]
fn early_data_for_targets_that_do_not_answer_holds_little_memory() {
    let attacked = need!(Attacked::start(&["LogLevel INFO"]));
    let before = attacked.server.process.memory("VmRSS");
    let mut attack = attacked.by("early_data");
    attack.await_output(" sent\n");
    let most = attacked.server.process.memory("VmHWM") - before;
    assert!(most < HELD, "{most} KiB are held");
    attacked.still_serves();
    attack.kill();
    attacked.gives_memory_back(before);
}

#[test]
fn requests_whose_answers_nobody_reads_hold_little_memory() {
    let attacked = need!(Attacked::start(&["LogLevel INFO"]));
    let before = attacked.server.process.memory("VmRSS");
    let mut attack = attacked.by("unread_requests");
    attack.await_output("said\n");
    let most = attacked.server.process.memory("VmHWM") - before;
    assert!(most < HELD, "{most} KiB are held");
    attacked.still_serves();
}

#[test]
fn one_login_does_not_take_all_descriptors() {
    let attacked = need!(Attacked::start_as(&Poor, &["LogLevel INFO"]));
    // Logins with one key have one share: who is served meanwhile has another.
    let keys = attacked.scratch.authorized_keys();
    let other = fs::read_to_string(attacked.scratch.key(Key::Stranger).with_extension("pub"));
    let line = fs::read_to_string(&keys).unwrap() + &other.unwrap();
    fs::write(&keys, line).unwrap();
    let mut attack = attacked.by("all_descriptors");
    let said = attack.await_output("reasons");
    // RFC 4254, section 5.1: 4 is RESOURCE_SHORTAGE.
    assert!(said.contains("reasons [4]"), "{said}");
    // The attacker's key can still log in, to which a listening client bears witness.
    let forward = Forward::local(
        Address::loopback(free_port()),
        Target::tcp().address().clone(),
    );
    let ask = ClientAsk::forwards([forward]);
    let _same_key = Client::start(&Adit, &attacked.scratch, attacked.server.port, &ask);
    attacked.still_serves_with(Key::Stranger);
}

#[test]
fn a_window_of_one_byte_is_served() {
    let attacked = need!(Attacked::start(&[]));
    assert_eq!(attacked.after("window_of_one"), "one byte at a time");
}

#[test]
fn data_with_a_close_right_behind_reaches_its_target() {
    let attacked = need!(Attacked::start(&[]));
    assert_eq!(attacked.after("close_alone"), "got [0, 1, 32000, 1000000]");
    if Adit.wording() == peer::Wording::Adit {
        assert_eq!(
            attacked.after("close_alone_after_early_data"),
            "got [1000, 1001, 33000, 1001000]"
        );
    }
}

// ---- servers with odd habits ----

#[test]
fn words_of_a_server_are_cut_and_escaped() {
    for habit in ["huge_disconnect", "huge_words"] {
        let (_server, client, _scratch) = need!(visit(habit, ClientAsk::forwards([])));
        let (code, said) = client.end();
        assert_eq!(code, Some(255), "{habit}");
        assert!(said.len() < LOG, "{habit}: {} bytes", said.len());
        plain(&said);
    }
}

#[test]
fn a_server_that_lists_no_methods_lets_the_user_in() {
    let (mut server, _client, _scratch) = need!(visit("no_methods", ClientAsk::forwards([])));
    server.process.await_output("logged in");
}

#[test]
fn a_server_that_never_answers_a_forward_is_named_and_may_use_it() {
    let target = Target::tcp();
    let port = free_port();
    let forward = Forward::remote(Address::loopback(port), target.address().clone());
    let (mut server, mut client, _scratch) = need!(visit(
        "silent_about_forwards",
        ClientAsk::forwards([forward])
    ));
    server.process.await_output("echoed through a forward");
    if Adit.wording() == peer::Wording::Adit {
        // After a few seconds, in whatever words: which forward it is that waits.
        let awaited = client.process.wait_for_errors("what is awaited", |log| {
            let names = |line: &&str| line.contains(&port.to_string()) && line.contains("answer");
            log.lines().find(names).map(ToOwned::to_owned)
        });
        awaited.unwrap_or_else(|late| panic!("{late}"));
    }
}

#[test]
fn a_burst_of_channels_at_a_client_that_was_stopped_is_served() {
    let target = Target::tcp();
    let forward = Forward::remote(Address::loopback(free_port()), target.address().clone());
    let (mut server, client, scratch) = need!(visit("burst", ClientAsk::forwards([forward])));
    let staged = scratch.write("client.pid.part", &client.process.id().to_string());
    fs::rename(staged, scratch.file(peer::CLIENT_FILE)).expect("a file beside it");
    let said = server.process.await_output("confirmed");
    assert!(said.contains("1500 confirmed, 0 refused"), "{said}");
}

/// Sends adit to a server with this habit.
fn visit(habit: &'static str, ask: ClientAsk) -> Result<(Server, Client, Scratch), Missing> {
    let peer = RawServer(habit);
    Adit.find()?;
    peer.find()?;
    let scratch = Scratch::new()?;
    let server = Server::start(&peer, &scratch, &ServerAsk::default());
    let client = Client::launch(&Adit, &scratch, server.port, &ask);
    Ok((server, client, scratch))
}

/// Panics if a text that people read has what turns the direction of writing, ends a line unseen, or moves the cursor.
fn plain(text: &str) {
    let odd = |one: &char| matches!(one, '\u{202e}' | '\u{2028}' | '\u{1b}');
    assert!(text.chars().find(odd).is_none(), "{text:?}");
    assert!(
        !text.lines().any(|line| line == "line"),
        "a line was forged"
    );
}
