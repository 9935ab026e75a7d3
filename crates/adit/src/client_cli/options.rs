//! From what the user typed to what it means: command line, `-o`, the user's file, the system's file.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use adit_tunnel::client::ClientSettings;
use adit_tunnel::config::destination::{Destination, check_host, check_user};
use adit_tunnel::config::error::{ConfigError, Warning};
use adit_tunnel::config::spec::Forward;
use adit_tunnel::config::ssh_config::{
    ClientOptions, ConfigFiles, Context, RequestTty, SessionType,
};
use adit_tunnel::config::values::{LogLevel, SyslogFacility};
use adit_tunnel::config::{FileSource, Lookups};
use adit_tunnel::net::listener::describe;
use nix::unistd::{Uid, User, gethostname};

use super::announce::Audience;
use super::args::{Args, ForwardFlag, Setting};
use super::session::SessionMeaning;
use crate::command_line;
use crate::machine::Machine;

/// Hops of one route; more are a mistake.
const MAX_HOPS: usize = 16;

/// Everything the command line and the files say.
#[derive(Debug)]
pub(super) struct Meaning {
    /// The hosts on the way to the target, the first one first.
    pub hops: Vec<ClientSettings>,
    /// The target.
    pub target: ClientSettings,
    /// Forwards to make: none under `ClearAllForwardings`.
    pub forwards: Vec<Forward>,
    /// True where the program shall go to the background (`ForkAfterAuthentication`).
    pub background: bool,
    /// `SyslogFacility`.
    pub syslog_facility: SyslogFacility,
    /// The shell, the command, the subsystem or the connection to the standard streams.
    pub session: SessionMeaning,
    /// Warnings about the configuration.
    pub warnings: Vec<String>,
    /// Level of the messages.
    pub level: LogLevel,
    /// Readers of the messages.
    pub audience: Audience,
    /// The host as it was typed.
    pub typed: String,
    /// A file of the configuration that another process could not read again.
    pub read_once: Option<PathBuf>,
}

/// The user who runs this.
struct LocalUser {
    name: String,
    uid: u32,
    home: PathBuf,
    host: String,
}

impl LocalUser {
    fn own() -> Result<Self, String> {
        let uid = Uid::current();
        let user = User::from_uid(uid)
            .map_err(|e| format!("cannot look up the user {uid}: {e}"))?
            .ok_or_else(|| format!("No user exists for uid {uid}"))?;
        let host = gethostname()
            .map(|h| h.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(Self {
            name: user.name,
            uid: uid.as_raw(),
            home: user.dir,
            host,
        })
    }

    /// The circumstances in which the options for `host` are read.
    fn context<'a>(
        &'a self,
        host: &'a str,
        files: &'a FileSource,
        lookups: Lookups<'a>,
    ) -> Context<'a> {
        Context {
            host,
            local_user: &self.name,
            local_uid: self.uid,
            local_host: &self.host,
            home: &self.home,
            files,
            lookups,
        }
    }
}

/// Reads it all.
///
/// # Errors
/// A sentence for the user, perhaps with a hint.
pub(super) fn read(args: &Args) -> Result<Meaning, String> {
    if args.log_file.is_some() && args.syslog {
        return Err("cannot specify both -y and -E".into());
    }
    let Some(typed) = &args.destination else {
        return Err(why_no_destination(args));
    };
    let user = LocalUser::own()?;
    let destination = Destination::parse(typed)
        .map_err(|e| format!("bad destination {typed:?}: expected {e}"))?;
    let mut reader = Reader {
        files: config_files(args),
        source: FileSource::disk(),
        user,
        warnings: Vec::new(),
    };
    let options = reader.options(&destination, Some(args))?;
    let session = SessionMeaning::read(args, &options)?;
    let level = match args.quiet {
        true => LogLevel::Quiet,
        false => command_line::level(options.connection.log_level, args.verbose),
    };
    let forwards = options.effective_forwards().to_vec();
    let background = options.fork_after_authentication == Some(true);
    let facility = options.connection.syslog_facility;
    let target = reader.settings(&destination.host, options)?;
    let hops = reader.hops(&target, &destination.host)?;
    let mut warnings = reader.warnings;
    let passed_over = args.passed_over.iter();
    warnings.extend(passed_over.map(|flag| format!("-{flag} is not supported and is passed over")));
    Ok(Meaning {
        hops,
        target,
        forwards,
        background,
        syslog_facility: facility.unwrap_or(SyslogFacility::User),
        session,
        warnings,
        level,
        audience: Audience::of(args.log_file.is_some() || args.syslog),
        typed: destination.host,
        read_once: reader.source.read_once(),
    })
}

/// The sentence for a command line without a destination. It may stand at the end of a specification, for want of a space.
fn why_no_destination(args: &Args) -> String {
    let machine = Machine::read();
    let forwards = args.forwards.iter();
    let mut parsed = forwards.map(|(flag, text)| parse_forward(*flag, text, &machine.lookups()));
    let bad = parsed.find_map(Result::err);
    bad.unwrap_or_else(|| {
        "no destination\nhint: adit -N -L 9000:localhost:80 user@host; adit --help shows more"
            .into()
    })
}

/// True where the command line itself asks to go to the background. A mistake in it is reported by whoever reads it all.
pub(super) fn asks_for_background(args: &Args) -> bool {
    let Ok(user) = LocalUser::own() else {
        return args.background;
    };
    let machine = Machine::read();
    let source = FileSource::memory::<PathBuf, Vec<u8>>([]);
    let mut options = ClientOptions::default();
    let lines = args.settings.iter().filter_map(|setting| match setting {
        Setting::Line(line) => Some(line),
        _ => None,
    });
    for line in lines {
        let _ = options.apply_line(line, &user.context("", &source, machine.lookups()));
    }
    args.background || options.fork_after_authentication == Some(true)
}

fn config_files(args: &Args) -> ConfigFiles {
    match &args.config {
        None => ConfigFiles::Standard,
        Some(path) if path == Path::new("none") => ConfigFiles::Nothing,
        Some(path) => ConfigFiles::Only(path.clone()),
    }
}

struct Reader {
    files: ConfigFiles,
    /// One for all hosts of the route: a pipe has nothing more for the second.
    source: FileSource,
    user: LocalUser,
    warnings: Vec<String>,
}

impl Reader {
    /// The options for one host; the command line's count only for the target, as in ssh.
    fn options(
        &mut self,
        destination: &Destination,
        args: Option<&Args>,
    ) -> Result<ClientOptions, String> {
        let machine = Machine::read();
        let lookups = machine.lookups();
        let context = self.user.context(&destination.host, &self.source, lookups);
        let mut options = ClientOptions::default();
        let mut warnings = Vec::new();
        if let Some(args) = args {
            options.identity_files.clone_from(&args.identities);
            options.session.request_tty = args.request_tty;
            if args.subsystem {
                options.session.session_type = Some(SessionType::Subsystem);
            }
            if args.stdio_forward.is_some() {
                options.session.session_type = Some(SessionType::Nothing);
                options.session.request_tty = Some(RequestTty::No);
            }
            for (flag, text) in &args.forwards {
                options.add_forward(parse_forward(*flag, text, &lookups)?);
            }
            for setting in &args.settings {
                let applied = apply(setting, &mut options, destination, &context);
                warnings.extend(applied.map_err(|e| e.to_string())?);
            }
        } else {
            apply(&Setting::Destination, &mut options, destination, &context)
                .map_err(|e| e.to_string())?;
        }
        // A jump host never has a session.
        if args.is_none_or(|args| args.no_session) {
            options.session.session_type = Some(SessionType::Nothing);
        }
        if let Some(user) = &options.user {
            // Before `Match exec` could hand it to a shell.
            check_user(user).map_err(|e| format!("user {user:?}: expected {e}"))?;
        }
        warnings.extend(
            options
                .load(&self.files, &context)
                .map_err(|e| e.to_string())?,
        );
        self.warnings
            .extend(warnings.iter().map(ToString::to_string));
        if args.is_some_and(|args| args.stdio_forward.is_some()) {
            // Unless somebody said otherwise: standard input and output are for one connection alone.
            options.exit_on_forward_failure.get_or_insert(true);
            options.clear_all_forwardings.get_or_insert(true);
        }
        let mut options = options.expanded(&context).map_err(|e| e.to_string())?;
        if let Some(args) = args {
            self.drop_missing(&mut options.identity_files, args.identities.len());
        }
        Ok(options)
    }

    /// Leaves out those of the first files, which are the command line's, that are missing: as in ssh, they do not
    /// keep the customary keys from being tried, where a line in a file does.
    fn drop_missing(&mut self, files: &mut Vec<PathBuf>, typed: usize) {
        let mut at = 0;
        files.retain(|path| {
            at += 1;
            if at > typed || path.as_os_str() == "none" {
                return true;
            }
            let missing = path.metadata().err();
            if let Some(error) = &missing {
                self.warnings.push(format!(
                    "Identity file {} not accessible: {}.",
                    path.display(),
                    describe(error)
                ));
            }
            missing.is_none()
        });
    }

    /// The way to a target: the hosts of its ProxyJump and, in front of them, the way to the first of them. Those
    /// behind the first are reached through it whatever their own configuration says, as in ssh.
    fn hops(
        &mut self,
        target: &ClientSettings,
        typed: &str,
    ) -> Result<Vec<ClientSettings>, String> {
        let whom = |host: &str, s: &ClientSettings| (host.to_owned(), s.user.clone(), s.port);
        let looped = |hop: &str| {
            let hint = "give that host 'ProxyJump none' in the configuration";
            format!("jumphost loop via {hop}\nhint: {hint}")
        };
        let mut next = whom(typed, target);
        // Those whose own configuration led on. A host may stand on a route twice: `-J a,s a` reaches a through s.
        let mut followed = Vec::new();
        let mut jump = target.jump.clone();
        let mut route = Vec::new();
        while !jump.is_empty() {
            let hops = jump;
            if route.len() + hops.len() > MAX_HOPS {
                return Err(format!("ProxyJump: more than {MAX_HOPS} hosts"));
            }
            let mut section = VecDeque::new();
            for hop in hops.iter().rev() {
                let options = self.options(hop, None)?;
                let settings = self.settings(&hop.host, options)?;
                let entry = whom(&hop.host, &settings);
                if entry == next {
                    return Err(looped(&hop.to_string()));
                }
                next = entry;
                section.push_front(settings);
            }
            let Some((hop, first)) = hops.first().zip(section.front()) else {
                break;
            };
            jump = first.jump.clone();
            if !jump.is_empty() {
                if followed.contains(&next) {
                    return Err(looped(&hop.to_string()));
                }
                followed.push(next.clone());
            }
            section.extend(route);
            route = section.into();
        }
        Ok(route)
    }

    fn settings(&self, host: &str, options: ClientOptions) -> Result<ClientSettings, String> {
        let settings = ClientSettings::new(host, &self.user.name, self.user.home.clone(), options);
        check_host(&settings.host).map_err(|e| format!("host {:?}: {e}", settings.host))?;
        check_user(&settings.user).map_err(|e| format!("user {:?}: {e}", settings.user))?;
        Ok(settings)
    }
}

/// Sets what a setting sets, unless it is set already.
fn apply(
    setting: &Setting,
    options: &mut ClientOptions,
    destination: &Destination,
    context: &Context<'_>,
) -> Result<Vec<Warning>, ConfigError> {
    match setting {
        Setting::Line(line) => return options.apply_line(line, context),
        Setting::User(user) => {
            options.user.get_or_insert_with(|| user.clone());
        }
        Setting::Destination => {
            options.user = options.user.take().or_else(|| destination.user.clone());
            options.port = options.port.or(destination.port);
        }
    }
    Ok(Vec::new())
}

fn parse_forward(flag: ForwardFlag, text: &str, lookups: &Lookups<'_>) -> Result<Forward, String> {
    let parsed = match flag {
        ForwardFlag::Local => Forward::parse_local(text, lookups),
        ForwardFlag::Remote => Forward::parse_remote(text, lookups),
        ForwardFlag::Dynamic => Forward::parse_dynamic(text, lookups),
    };
    parsed.map_err(|error| format!("{error}\nhint: {}", error.hint()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(config: &Path) -> Reader {
        Reader {
            files: ConfigFiles::Only(config.to_owned()),
            source: FileSource::disk(),
            user: LocalUser::own().unwrap(),
            warnings: Vec::new(),
        }
    }

    fn to(host: &str) -> Destination {
        Destination::parse(host).unwrap()
    }

    #[test]
    fn missing_keys_are_left_out_if_the_command_line_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = format!("IdentityFile {}", path("line").display());
        std::fs::write(path("config"), config).unwrap();
        std::fs::write(path("here"), "").unwrap();
        let args = Args {
            identities: vec![path("missing"), path("here")],
            ..Args::default()
        };
        let mut reader = reader(&path("config"));
        let options = reader.options(&to("h"), Some(&args)).unwrap();
        assert_eq!(options.identity_files, [path("here"), path("line")]);
        assert_eq!(reader.warnings.len(), 1, "{:?}", reader.warnings);
        assert!(reader.warnings[0].contains("missing not accessible"));
    }

    /// The hosts on the way to `target`, by a configuration.
    fn way(config: &str, target: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, config).unwrap();
        let mut reader = reader(&path);
        let options = reader.options(&to(target), None)?;
        let settings = reader.settings(target, options)?;
        let hops = reader.hops(&settings, target)?;
        Ok(hops.into_iter().map(|hop| hop.host).collect())
    }

    #[test]
    fn what_is_typed_first_wins() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, "User file\nPort 9\n").unwrap();
        for (line, user, port) in [
            ("ssh://a@h:1 -l b -o User=c -p 2", "a", 1),
            ("-l b ssh://a@h:1 -p 2", "b", 1),
            ("-o User=c -p 2 -l b ssh://a@h:1", "c", 2),
            ("h", "file", 9),
        ] {
            let args = Args::parse(line.split(' ').map(Into::into)).unwrap();
            let destination = to(args.destination.as_deref().unwrap());
            let options = reader(&config).options(&destination, Some(&args)).unwrap();
            let got = (options.user.as_deref(), options.port);
            assert_eq!(got, (Some(user), Some(port)), "{line}");
        }
    }

    #[test]
    fn first_hop_is_reached_through_its_own_hops() {
        let config = "Host target\nProxyJump inner,last\n\
                      Host last\nProxyJump elsewhere\n\
                      Host inner\nHostName inner.example\nProxyJump bastion\n\
                      Host bastion\nProxyJump none\n";
        let hops = way(config, "target").unwrap();
        assert_eq!(hops, ["bastion", "inner.example", "last"]);
        assert!(way(config, "bastion").unwrap().is_empty());
    }

    #[test]
    fn jump_host_of_a_conditional_block_is_not_passed_by() {
        for block in [
            "Match exec true",
            "Match !exec false",
            "Match exec \"test %h.%r = target.u\"",
            "Match final",
            "Match final host real.example",
            "Match localnetwork 127.0.0.0/8",
            "Match sessiontype none",
        ] {
            let host = match block.contains("real") {
                true => "HostName real.example\n",
                false => "",
            };
            let config =
                format!("Host target\nUser u\n{host}{block} originalhost target\nProxyJump gw\n");
            assert_eq!(way(&config, "target").unwrap(), ["gw"], "{block}");
        }
        for block in [
            "Match exec false",
            "Match exec 'kill -9 $$'",
            "Match exec x final",
        ] {
            let config = format!("{block}\nProxyJump gw\n");
            let way = way(&config, "target");
            match block.contains("kill") {
                true => assert!(
                    way.unwrap_err().contains("did not end by itself"),
                    "{block}"
                ),
                false => assert!(way.unwrap().is_empty(), "{block}"),
            }
        }
    }

    #[test]
    fn name_that_a_shell_would_take_apart_reaches_no_command() {
        let folder = tempfile::tempdir().unwrap();
        let (config, trace) = (folder.path().join("config"), folder.path().join("trace"));
        let command = format!("touch {}; echo %r %h", trace.display());
        std::fs::write(&config, format!("Match exec \"{command}\"\nPort 9\n")).unwrap();
        for user in ["a;b", "$(b)", "a|b", "-x", "a -x", "a`b`"] {
            let line = ["-l", user, "h"];
            let args = Args::parse(line.map(Into::into)).unwrap();
            let error = reader(&config).options(&to("h"), Some(&args)).unwrap_err();
            assert!(error.contains("a user name without shell"), "{error}");
        }
        assert!(!trace.exists());
        for host in ["a;b", "$(b)", "a`b`", "-x", "a b"] {
            assert!(Destination::parse(host).is_err(), "{host}");
        }
    }

    #[test]
    fn loop_of_hops_is_an_error_that_names_it() {
        let own = way("Host *\nProxyJump bastion\n", "target").unwrap_err();
        assert!(own.starts_with("jumphost loop via bastion\n"), "{own}");
        let both = "Host a\nProxyJump b:2\nHost b\nProxyJump a\n";
        let back = way(both, "a").unwrap_err();
        assert!(back.starts_with("jumphost loop via b:2\n"), "{back}");
        // Another account or port is another host.
        let config = "Host *\nUser u\nMatch user u\nProxyJump v@h\n";
        assert_eq!(way(config, "h").unwrap(), ["h"]);
    }

    #[test]
    fn host_may_stand_on_its_own_way_but_not_next_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "Host a\nProxyJump x\n").unwrap();
        let way = |hops: &[&str]| {
            let mut reader = reader(&path);
            let mut target = reader.settings("a", ClientOptions::default()).unwrap();
            target.jump = hops.iter().map(|hop| to(hop)).collect();
            let hops = reader.hops(&target, "a")?;
            Ok::<_, String>(hops.into_iter().map(|hop| hop.host).collect::<Vec<_>>())
        };
        assert_eq!(way(&["a", "s"]).unwrap(), ["x", "a", "s"]);
        for hops in [&["s", "a"][..], &["s", "s"]] {
            let error = way(hops).unwrap_err();
            assert!(error.starts_with("jumphost loop via "), "{error}");
        }
    }

    #[test]
    fn whole_route_is_bounded() {
        let chain = |hosts: usize| -> String {
            (0..hosts)
                .map(|i| format!("Host h{i}\nProxyJump h{}\n", i + 1))
                .collect()
        };
        assert_eq!(way(&chain(MAX_HOPS), "h0").unwrap().len(), MAX_HOPS);
        let error = way(&chain(MAX_HOPS + 1), "h0").unwrap_err();
        assert!(error.contains("more than 16"), "{error}");
    }
}
