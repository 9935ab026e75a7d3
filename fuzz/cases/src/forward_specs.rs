//! Forwarding specifications: what is read means one thing, however it is written.

use std::path::PathBuf;

use adit_tunnel::config::Lookups;
use adit_tunnel::config::spec::{
    BindAddress, Endpoint, Forward, ListenSpec, MAX_HOST, MAX_SOCKET_PATH, SpecError, SpecProblem,
};
use arbitrary::{Result, Unstructured};

/// Text as it may stand after `-L`, `-R`, `-D` and `-W`; or a forward, written in one of its spellings.
pub fn forward_specs(data: &[u8]) {
    match data.split_first() {
        None => {}
        Some((0, text)) => read_every_way(&String::from_utf8_lossy(text)),
        // Too few bytes are a short program, not a failure.
        Some((_, program)) => drop(write_and_read(&mut Unstructured::new(program))),
    }
}

/// Lookups that know a variable of each awkward kind, and services.
fn with_lookups<T>(run: impl FnOnce(&Lookups<'_>) -> T) -> T {
    run(&Lookups {
        variable: &|name| {
            Some(match name {
                "HOME" => "/srv".to_owned(),
                "PORT" => "8080".to_owned(),
                "ODD" => "${HOME}:[\\".to_owned(),
                "BIG" => "b".repeat(40_000),
                _ => return None,
            })
        },
        service: &|name| match name {
            "http" => Some(80),
            "nil" => Some(0),
            _ => None,
        },
        ..Lookups::none()
    })
}

fn read_every_way(text: &str) {
    let (local, remote, dynamic, stdio) = with_lookups(|lookups| {
        (
            Forward::parse_local(text, lookups),
            Forward::parse_remote(text, lookups),
            Forward::parse_dynamic(text, lookups),
            Endpoint::parse_stdio(text, lookups),
        )
    });
    for (kind, read) in [
        ("local", &local),
        ("remote", &remote),
        ("dynamic", &dynamic),
    ] {
        match read {
            Ok(forward) => check(kind, forward),
            Err(error) => check_error(kind, text, error),
        }
    }
    match &stdio {
        Ok(target) => {
            check_target(target);
            let again = with_lookups(|lookups| Endpoint::parse_stdio(&target.to_string(), lookups));
            assert_eq!(again.as_ref(), Ok(target), "printed as {target}");
        }
        Err(error) => check_error("stdio", text, error),
    }
    agree(text, local.ok(), remote.ok(), dynamic.ok());
    as_target(text, stdio.ok());
}

/// The rules of the shapes, and that printing and reading again gives the same.
fn check(kind: &str, forward: &Forward) {
    match (kind, forward) {
        ("local", Forward::Local { target, .. }) | ("remote", Forward::Remote { target, .. }) => {
            check_target(target);
        }
        ("dynamic", Forward::Dynamic { .. }) => {}
        ("remote", Forward::RemoteDynamic { listen }) => {
            assert!(matches!(listen, ListenSpec::Tcp { .. }), "SOCKS on a path");
        }
        _ => panic!("{forward:?} read as {kind}"),
    }
    match forward.listen() {
        ListenSpec::Tcp { bind, port } => {
            assert!(*port != 0 || kind == "remote", "nobody chooses port 0");
            if let BindAddress::Host(host) = bind {
                check_host(host);
                assert_ne!(host, "*", "it is every address");
            }
        }
        ListenSpec::Unix(path) => check_path(path.to_str().unwrap()),
    }
    let printed = forward.to_string();
    let (flag, spec) = printed.split_at(3);
    let again = with_lookups(|lookups| match flag {
        "-L " => Forward::parse_local(spec, lookups),
        "-R " => Forward::parse_remote(spec, lookups),
        "-D " => Forward::parse_dynamic(spec, lookups),
        _ => panic!("{printed} begins with no flag"),
    });
    assert_eq!(again.as_ref(), Ok(forward), "printed as {printed}");
}

fn check_target(target: &Endpoint) {
    match target {
        Endpoint::Tcp { host, port } => {
            check_host(host);
            assert_ne!(*port, 0, "nobody listens on port 0");
        }
        Endpoint::Unix(path) => check_path(path.to_str().unwrap()),
    }
}

fn check_host(host: &str) {
    assert!((1..=MAX_HOST).contains(&host.len()));
    assert!(!host.contains('/'), "a path is no host");
}

fn check_path(path: &str) {
    assert!(path.contains('/') && path.len() <= MAX_SOCKET_PATH);
}

fn check_error(kind: &str, text: &str, error: &SpecError) {
    let expected = format!("Bad {kind} forwarding specification '{text}': ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(!error.hint().is_empty());
}

/// `-L` and `-R` read the same text as the same parts, and `-D` as `-R` without a target.
fn agree(text: &str, local: Option<Forward>, remote: Option<Forward>, dynamic: Option<Forward>) {
    if let Some(Forward::Local { listen, target }) = local {
        assert!(dynamic.is_none(), "{text:?} has a target and has none");
        assert_eq!(remote, Some(Forward::Remote { listen, target }), "{text:?}");
    } else if let Some(Forward::Dynamic { listen }) = dynamic
        && matches!(listen, ListenSpec::Tcp { .. })
    {
        assert_eq!(remote, Some(Forward::RemoteDynamic { listen }), "{text:?}");
    }
}

/// Asserts that `-W` reads the target of `-L` behind a port.
fn as_target(text: &str, stdio: Option<Endpoint>) {
    // Blanks are passed over at the start of a specification, and only there.
    let Some(target) = stdio.filter(|_| !text.starts_with(|c: char| c.is_ascii_whitespace()))
    else {
        return;
    };
    let behind = format!("1:{text}");
    let read = with_lookups(|lookups| Forward::parse_local(&behind, lookups));
    let listen = ListenSpec::Tcp {
        bind: BindAddress::Default,
        port: 1,
    };
    assert_eq!(read, Ok(Forward::Local { listen, target }), "{behind:?}");
}

fn write_and_read(u: &mut Unstructured<'_>) -> Result<()> {
    let listen = listen(u)?;
    let kind = u.int_in_range(0..=3)?;
    let mut fields = Fields::default();
    fields.listen(&listen, u)?;
    let forward = match kind {
        0 | 1 => {
            let target = target(u)?;
            fields.target(&target, u)?;
            match kind {
                0 => Forward::Local { listen, target },
                _ => Forward::Remote { listen, target },
            }
        }
        2 => Forward::Dynamic { listen },
        _ => Forward::RemoteDynamic { listen },
    };
    let mut text = fields.written.join(":");
    if u.arbitrary()? {
        text.push(':');
    }
    let read = with_lookups(|lookups| match kind {
        0 => Forward::parse_local(&text, lookups),
        2 => Forward::parse_dynamic(&text, lookups),
        _ => Forward::parse_remote(&text, lookups),
    });
    let expected = match impossible(&forward, &fields) {
        Some(problem) => Err(problem),
        None => Ok(forward),
    };
    assert_eq!(read.map_err(|error| error.problem), expected, "{text}");
    Ok(())
}

/// Reason why a forward that can be written can still not be made; of several reasons, that of the first part.
fn impossible(forward: &Forward, fields: &Fields) -> Option<SpecProblem> {
    if let (Forward::RemoteDynamic { .. }, ListenSpec::Unix(path)) = (forward, forward.listen()) {
        return Some(match path.to_str().unwrap().len() > MAX_SOCKET_PATH {
            true => SpecProblem::PathTooLong,
            false => SpecProblem::SocksOnPath,
        });
    }
    let client_listens = matches!(forward, Forward::Local { .. } | Forward::Dynamic { .. });
    let port_zero = matches!(forward.listen(), ListenSpec::Tcp { port: 0, .. });
    let too_long = fields.too_long.clone();
    too_long.or((client_listens && port_zero).then_some(SpecProblem::PortZero))
}

/// The fields of a specification as written, and the first that is too long.
#[derive(Default)]
struct Fields {
    written: Vec<String>,
    too_long: Option<SpecProblem>,
}

impl Fields {
    fn listen(&mut self, listen: &ListenSpec, u: &mut Unstructured<'_>) -> Result<()> {
        let (bind, port) = match listen {
            ListenSpec::Unix(path) => return self.path(path, u),
            ListenSpec::Tcp { bind, port } => (bind, *port),
        };
        match bind {
            BindAddress::Default => {}
            BindAddress::Any => self
                .written
                .push((*u.choose(&["", "*", "[*]", "\\*", "[]"])?).into()),
            BindAddress::Host(host) => self.host(host, u)?,
        }
        self.port(port, u)
    }

    fn target(&mut self, target: &Endpoint, u: &mut Unstructured<'_>) -> Result<()> {
        match target {
            Endpoint::Unix(path) => self.path(path, u),
            Endpoint::Tcp { host, port } => {
                self.host(host, u)?;
                self.port(*port, u)
            }
        }
    }

    fn host(&mut self, host: &str, u: &mut Unstructured<'_>) -> Result<()> {
        if host.len() > MAX_HOST {
            self.too_long.get_or_insert(SpecProblem::HostTooLong);
        }
        self.text(host, u)
    }

    fn path(&mut self, path: &std::path::Path, u: &mut Unstructured<'_>) -> Result<()> {
        let path = path.to_str().unwrap();
        if path.len() > MAX_SOCKET_PATH {
            self.too_long.get_or_insert(SpecProblem::PathTooLong);
        }
        self.text(path, u)
    }

    fn port(&mut self, port: u16, u: &mut Unstructured<'_>) -> Result<()> {
        let written = match u.int_in_range(0..=3)? {
            0 if port == 80 => "http".to_owned(),
            1 if port == 8080 => "${PORT}".to_owned(),
            2 => format!("[{port:07}]"),
            _ => port.to_string(),
        };
        self.written.push(written);
        Ok(())
    }

    /// One of the ways to write a field: as it is, in brackets, with backslashes.
    fn text(&mut self, text: &str, u: &mut Unstructured<'_>) -> Result<()> {
        let blank_first = text.starts_with(|c: char| c.is_ascii_whitespace());
        let plain = !text.contains([':', '\\']) && !text.starts_with('[') && !blank_first;
        let variable = text.contains("${");
        let written = match u.int_in_range(0..=2)? {
            0 if plain && !variable => text.to_owned(),
            1 if !text.contains(']') && !variable => format!("[{text}]"),
            _ => text.chars().flat_map(|c| ['\\', c]).collect(),
        };
        self.written.push(written);
        Ok(())
    }
}

fn listen(u: &mut Unstructured<'_>) -> Result<ListenSpec> {
    let bind = match u.int_in_range(0..=3)? {
        0 => BindAddress::Default,
        1 => BindAddress::Any,
        2 => BindAddress::Host(host(u)?),
        _ => return Ok(ListenSpec::Unix(path(u)?)),
    };
    let port = port(u)?;
    Ok(ListenSpec::Tcp { bind, port })
}

fn target(u: &mut Unstructured<'_>) -> Result<Endpoint> {
    match u.arbitrary()? {
        true => Ok(Endpoint::Unix(path(u)?)),
        false => Ok(Endpoint::Tcp {
            host: host(u)?,
            port: port(u)?.max(1),
        }),
    }
}

fn port(u: &mut Unstructured<'_>) -> Result<u16> {
    match u.int_in_range(0..=3)? {
        0 => Ok(*u.choose(&[0, 80, 8080, u16::MAX])?),
        _ => u.arbitrary(),
    }
}

/// A name without `/`: every other character may stand in one as far as the grammar goes.
fn host(u: &mut Unstructured<'_>) -> Result<String> {
    if u.ratio(1, 16)? {
        return Ok("h".repeat(u.int_in_range(MAX_HOST - 1..=MAX_HOST + 2)?));
    }
    let name = text(u)?.replace('/', "-");
    Ok(match name.as_str() {
        "" | "*" => "db".to_owned(),
        _ => name,
    })
}

fn path(u: &mut Unstructured<'_>) -> Result<PathBuf> {
    let (before, after) = (text(u)?, text(u)?);
    let mut path = format!("{before}/{after}");
    if u.ratio(1, 16)? {
        let len = u.int_in_range(MAX_SOCKET_PATH - 1..=MAX_SOCKET_PATH + 2)?;
        path.extend(std::iter::repeat_n('p', len.saturating_sub(path.len())));
    }
    Ok(path.into())
}

/// A few characters, most of them with a meaning.
fn text(u: &mut Unstructured<'_>) -> Result<String> {
    const CHARS: [char; 16] = [
        'a', '0', '9', ':', '\\', '[', ']', '*', '/', ' ', '\t', '$', '{', '}', '%', 'é',
    ];
    let len = u.int_in_range(0..=12)?;
    (0..len).map(|_| u.choose(&CHARS).copied()).collect()
}
