//! `Include`: order, blocks, and the bounds on what one file can draw in.

use super::*;

#[test]
fn includes_are_relative_in_order_and_keep_their_blocks_to_themselves() {
    let (got, _) = load_files(&[
        (
            "/home/eve/.ssh/config",
            "Include conf.d/*.conf ~/more\nUser last\n",
        ),
        ("/home/eve/.ssh/conf.d/b.conf", "Port 2\nCompression yes\n"),
        ("/home/eve/.ssh/conf.d/a.conf", "Port 1\nHost other\n"),
        ("/home/eve/more", "HostName more\n"),
        ("/etc/ssh/ssh_config", "Include sys\n"),
        ("/etc/ssh/sys", "BindAddress ::1\n"),
    ])
    .unwrap();
    assert_eq!((got.port, got.compression), (Some(1), Some(true)));
    assert_eq!(
        (got.user.as_deref(), got.host_name.as_deref()),
        (Some("last"), Some("more"))
    );
    assert_eq!(got.bind_address.as_deref(), Some("::1"));
}

#[test]
fn an_include_in_a_block_that_does_not_match_is_read_only_for_its_mistakes() {
    let included = "Host *\nPort 7\nMatch all\nPort 8\nControlMaster yes\nMatch exec x\n";
    let (got, said) = load_files(&[
        ("/home/eve/.ssh/config", "Host other\nInclude inc\n"),
        ("/home/eve/.ssh/inc", included),
    ])
    .unwrap();
    assert_eq!((got.port, said), (None, vec![]));
    let error = load_files(&[
        ("/home/eve/.ssh/config", "Host other\nInclude inc\n"),
        ("/home/eve/.ssh/inc", "\nFoo 1\n"),
    ])
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/home/eve/.ssh/inc: line 2: Bad configuration option: foo")
    );
}

#[test]
fn a_file_that_includes_itself_fails_and_ends() {
    for text in ["Include config\n", "Include config config config\n"] {
        let error = load(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/home/eve/.ssh/config: line 1: too many recursive configuration includes"
        );
    }
}

#[test]
fn includes_that_multiply_fail_and_end() {
    // Ten levels of ten: 10^10 files if each were read.
    let mut files = vec![(
        "/home/eve/.ssh/config".to_owned(),
        "Include l0-*\n".to_owned(),
    )];
    for level in 0..10 {
        for n in 0..10 {
            let next = format!("Include l{}-*\n", level + 1);
            files.push((format!("/home/eve/.ssh/l{level}-{n}"), next));
        }
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    let error = load_files(&files).unwrap_err();
    assert!(matches!(error, ConfigError::TooMuch(_)), "{error}");
}

#[test]
fn a_configuration_has_a_bound_of_files_and_one_of_bytes() {
    let load_many = |count: usize, text: &str| {
        let mut files = vec![("/home/eve/.ssh/config".to_owned(), "Include e-*\n")];
        files.extend((0..count).map(|n| (format!("/home/eve/.ssh/e-{n}"), text)));
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), *t)).collect();
        load_files(&files).map(drop)
    };
    assert_eq!(load_many(4095, ""), Ok(()));
    assert!(matches!(load_many(4096, ""), Err(ConfigError::TooMuch(_))));
    let comment = format!("#{}", "x".repeat(1024 * 1024 - 1));
    assert_eq!(load_many(7, &comment), Ok(()));
    assert!(matches!(
        load_many(8, &comment),
        Err(ConfigError::TooMuch(_))
    ));
}

#[test]
fn sixteen_levels_of_include_are_read_and_seventeen_are_not() {
    let chain = |levels: usize| {
        let mut files = vec![("/home/eve/.ssh/config".to_owned(), "Include 1\n".to_owned())];
        files.extend((1..levels).map(|n| {
            (
                format!("/home/eve/.ssh/{n}"),
                format!("Include {}\n", n + 1),
            )
        }));
        files.push((format!("/home/eve/.ssh/{levels}"), "Port 7\n".to_owned()));
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(p, t)| (p.as_str(), t.as_str()))
            .collect();
        load_files(&files).map(|(options, _)| options.port)
    };
    assert_eq!(chain(16), Ok(Some(7)));
    assert!(matches!(chain(17), Err(ConfigError::TooDeep(_))));
}

#[test]
fn the_systems_file_may_not_speak_of_home() {
    let error = load_files(&[("/etc/ssh/ssh_config", "Include ~/x\n")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/etc/ssh/ssh_config: line 1: bad include path ~/x: "),
        "{error}"
    );
}
