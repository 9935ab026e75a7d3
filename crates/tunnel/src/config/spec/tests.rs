//! The grammar of forwarding specifications, checked against what OpenSSH 9.2 makes of the same words.

use super::*;

fn with_lookups<T>(run: impl FnOnce(&Lookups<'_>) -> T) -> T {
    run(&Lookups {
        variable: &|name| (name == "HOME").then(|| "/srv".to_owned()),
        service: &|name| (name == "http").then_some(80),
        ..Lookups::none()
    })
}

/// `L`, `R`, `D` or `W`, read and printed again, or the problem.
fn read(kind: char, text: &str) -> Result<String, SpecProblem> {
    with_lookups(|lookups| {
        let read = match kind {
            'L' => Forward::parse_local(text, lookups).map(|f| f.to_string()),
            'R' => Forward::parse_remote(text, lookups).map(|f| f.to_string()),
            'D' => Forward::parse_dynamic(text, lookups).map(|f| f.to_string()),
            _ => Endpoint::parse_stdio(text, lookups).map(|e| format!("-W {e}")),
        };
        read.map_err(|error| error.problem)
    })
}

#[test]
fn what_openssh_accepts_is_read_the_same() {
    let table = [
        ('L', "8080:h:80", "-L 8080:h:80"),
        ('L', " 8080:h:80", "-L 8080:h:80"),
        ('L', "8080:h:80:", "-L 8080:h:80"),
        ('L', "+80:h:1", "-L 80:h:1"),
        ('L', ":8080:h:80", "-L *:8080:h:80"),
        ('L', "*:8080:h:http", "-L *:8080:h:80"),
        ('L', "127.0.0.1:8080:h:80", "-L 127.0.0.1:8080:h:80"),
        ('L', "8080:[::1]:80", "-L 8080:[::1]:80"),
        (
            'L',
            "[::1]:8080:[fe80::1%eth0]:80",
            "-L [::1]:8080:[fe80::1%eth0]:80",
        ),
        ('L', "a\\:b:80:h:1", "-L [a:b]:80:h:1"),
        ('L', "8080:/p", "-L 8080:/p"),
        ('L', "h:8080:/p", "-L h:8080:/p"),
        ('L', "/a:/b", "-L /a:/b"),
        ('L', "/a:h:80", "-L /a:h:80"),
        ('L', "[/tmp/a]:[/tmp/b:c]", "-L /tmp/a:[/tmp/b:c]"),
        ('L', "${HOME}/x:h:80", "-L /srv/x:h:80"),
        ('R', "0:h:1", "-R 0:h:1"),
        ('R', "0", "-R 0"),
        ('R', "h:8080", "-R h:8080"),
        ('R', "*:8080", "-R *:8080"),
        ('R', "1:2:3", "-R 1:2:3"),
        ('R', "/a:/b", "-R /a:/b"),
        ('R', "/a:h:1", "-R /a:h:1"),
        ('R', "8080:/b", "-R 8080:/b"),
        ('D', "1080", "-D 1080"),
        ('D', "1080:", "-D 1080"),
        ('D', ":1080", "-D *:1080"),
        ('D', "localhost:1080", "-D localhost:1080"),
        ('D', "[::1]:1080", "-D [::1]:1080"),
        ('D', "/a", "-D /a"),
        ('W', "db:5432", "-W db:5432"),
        ('W', "[::1]:22", "-W [::1]:22"),
        ('W', "/run/x", "-W /run/x"),
    ];
    for (kind, text, expected) in table {
        assert_eq!(read(kind, text).as_deref(), Ok(expected), "-{kind} {text}");
    }
}

#[test]
fn what_openssh_refuses_is_refused_with_the_reason() {
    let port = |word: &str| SpecProblem::Port(word.into());
    let table = [
        ('L', "", SpecProblem::Empty),
        ('L', "8080", SpecProblem::NoTarget),
        ('L', "/a", SpecProblem::NoTarget),
        ('L', "8080:80", SpecProblem::NoTargetHost("80".into())),
        ('L', "8080:h", SpecProblem::NoTargetPort("h".into())),
        ('R', "8080:h", SpecProblem::NoTargetPort("h".into())),
        ('L', "8080:h:80 ", port("80 ")),
        ('L', "8080:h:/p", port("h")),
        ('L', "8080:h:80:x:y", SpecProblem::TooManyFields),
        ('L', "::1:8080:h:80", SpecProblem::TooManyFields),
        ('L', "[::1:80:h:1", SpecProblem::Brackets),
        ('R', "[a]b:1:2:3", SpecProblem::Brackets),
        ('L', "0:h:1", SpecProblem::PortZero),
        ('D', "0", SpecProblem::PortZero),
        ('L', "8080:h:0", SpecProblem::PortZero),
        ('L', "65536:h:1", port("65536")),
        ('L', "-1:h:1", port("-1")),
        ('L', "15001/127.0.0.1/9", SpecProblem::NoTarget),
        ('L', "8080:h:80\\", SpecProblem::Backslash),
        (
            'L',
            "${NO}:h:80",
            SpecProblem::Expand(ExpandError::UnsetVariable("NO".into())),
        ),
        ('D', "a:b:c", SpecProblem::TargetOfDynamic),
        ('D', "1080:h", SpecProblem::TargetOfDynamic),
        ('D', "a:b", port("b")),
        ('D', "::1:1080", SpecProblem::TargetOfDynamic),
        ('W', "db", SpecProblem::NoTargetPort("db".into())),
        ('W', "::1:22", SpecProblem::TooManyFields),
    ];
    for (kind, text, expected) in table {
        assert_eq!(read(kind, text), Err(expected), "-{kind} {text}");
    }
}

#[test]
fn destination_without_the_space_before_it_is_named() {
    let table = [
        ('L', "9000:a:80:user@host", "user@host"),
        ('L', "9000:a:80user@host", "user@host"),
        ('L', "a:9000:b:80:user@h.example", "user@h.example"),
        ('R', "9000:a:80user@host", "user@host"),
        ('R', "9000user@host", "user@host"),
        ('D', "9000user@host", "user@host"),
        ('D', "9000:user@host", "user@host"),
    ];
    for (kind, text, destination) in table {
        let expected = SpecProblem::MissingSpace(destination.into());
        assert_eq!(read(kind, text), Err(expected), "-{kind} {text}");
    }
    // An `@` elsewhere is no sign of one, and where the rest is right it is none at all.
    assert_eq!(read('L', "a@b:h:80"), Err(SpecProblem::Port("a@b".into())));
    assert!(read('L', "80:user@host:80").is_ok());
}

#[test]
fn forwards_that_could_never_carry_anything_are_refused_though_openssh_takes_them() {
    let table = [
        ('L', "8080::80", SpecProblem::EmptyHost),
        ('L', "/a:/b:80", SpecProblem::PathAsHost("/b".into())),
        ('L', "/a:8080:h:80", SpecProblem::PathAsHost("/a".into())),
        ('D', "/a:/b", SpecProblem::PathAsHost("/a".into())),
        ('D', "1080:/b", SpecProblem::TargetOfDynamic),
        ('R', "/a", SpecProblem::SocksOnPath),
    ];
    for (kind, text, expected) in table {
        assert_eq!(read(kind, text), Err(expected), "-{kind} {text}");
    }
}

#[test]
fn lengths_are_those_that_the_system_takes() {
    let host = |n| format!("8080:{}:80", "h".repeat(n));
    assert!(read('L', &host(MAX_HOST)).is_ok());
    assert_eq!(
        read('L', &host(MAX_HOST + 1)),
        Err(SpecProblem::HostTooLong)
    );
    let path = |n| format!("8080:/{}", "p".repeat(n - 1));
    assert!(read('L', &path(MAX_SOCKET_PATH)).is_ok());
    assert_eq!(
        read('L', &path(MAX_SOCKET_PATH + 1)),
        Err(SpecProblem::PathTooLong)
    );
    let error = SpecError {
        kind: SpecKind::Local,
        text: path(MAX_SOCKET_PATH + 1),
        problem: SpecProblem::PathTooLong,
    };
    assert!(error.hint().starts_with("choose a shorter path"));
}

#[test]
fn the_parts_are_where_they_belong() {
    with_lookups(|lookups| {
        let forward = Forward::parse_local("[::1]:8080:db:5432", lookups).unwrap();
        let listen = ListenSpec::Tcp {
            bind: BindAddress::Host("::1".into()),
            port: 8080,
        };
        let target = Endpoint::Tcp {
            host: "db".into(),
            port: 5432,
        };
        assert_eq!(forward, Forward::Local { listen, target });
    });
}

#[test]
fn the_message_begins_as_openssh_has_it_and_hints_how_to_write_it() {
    let error = with_lookups(|lookups| Forward::parse_local("8080:x", lookups)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Bad local forwarding specification '8080:x': the port to connect to is missing behind 'x'"
    );
    assert!(error.hint().contains("8080:db:5432"));
    let error = with_lookups(|lookups| Forward::parse_dynamic("::1:80:a:b", lookups)).unwrap_err();
    assert!(error.hint().contains("[::1]"), "{}", error.hint());
    for text in ["8080:http://h:80", "http://localhost:8080:h:80"] {
        let error = with_lookups(|lookups| Forward::parse_local(text, lookups)).unwrap_err();
        assert!(error.hint().contains("http://"), "{}", error.hint());
    }
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let names = ["h", "::1", "a]b:c", "[x", "a\\b", "a b", "h]", "${HOME}"];
    let paths = [
        "/a", "/a:b", "/a]b:c", "a/[b", "/a b", " /a", "/${NO}", "/$",
    ];
    with_lookups(|lookups| {
        for name in names {
            for path in paths {
                let forward = Forward::Remote {
                    listen: ListenSpec::Tcp {
                        bind: BindAddress::Host(name.into()),
                        port: 0,
                    },
                    target: Endpoint::Unix(path.into()),
                };
                let text = forward.to_string();
                assert_eq!(
                    Forward::parse_remote(&text[3..], lookups).as_ref(),
                    Ok(&forward),
                    "{text}"
                );
                let forward = Forward::Local {
                    listen: ListenSpec::Unix(path.into()),
                    target: Endpoint::Tcp {
                        host: name.into(),
                        port: 1,
                    },
                };
                let text = forward.to_string();
                assert_eq!(
                    Forward::parse_local(&text[3..], lookups).as_ref(),
                    Ok(&forward),
                    "{text}"
                );
            }
        }
    });
}
