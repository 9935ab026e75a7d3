//! Questions through the program that `SSH_ASKPASS` names: a window, where there is no terminal or the user prefers one.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::{background, limits};

use super::terminal::{MAX_ANSWER, line};

/// The program where `SSH_ASKPASS` names none.
const CUSTOMARY: &str = "/usr/bin/ssh-askpass";

/// Way that questions take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Terminal,
    Program,
}

/// Settings in the environment, as ssh reads them.
#[derive(Debug, Default)]
pub(super) struct Askpass {
    program: Option<OsString>,
    /// `SSH_ASKPASS_REQUIRE`: `never`, `prefer`, `force`.
    require: Option<OsString>,
    has_display: bool,
}

impl Askpass {
    pub(super) fn of_environment() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            program: std::env::var_os("SSH_ASKPASS"),
            require: std::env::var_os("SSH_ASKPASS_REQUIRE"),
            has_display: is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"),
        }
    }

    /// The way of a question. A program is for where there is no terminal, and shows itself on a display.
    pub(super) fn way(&self, has_terminal: bool) -> Way {
        let says = |word: &str| {
            let require = self.require.as_ref();
            require.is_some_and(|value| value.eq_ignore_ascii_case(word))
        };
        let preferred = says("prefer") || !has_terminal;
        let possible = self.has_display && !says("never");
        match says("force") || (preferred && possible) {
            true => Way::Program,
            false => Way::Terminal,
        }
    }

    /// Asks; the first line that the program prints, if it then says that all is well.
    pub(super) async fn ask(&self, text: &str) -> io::Result<Option<String>> {
        let program = self.program.clone().unwrap_or_else(|| CUSTOMARY.into());
        let mut command = Command::new(&program);
        background::unmark(command.as_std_mut());
        command.arg(text).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = limits::as_it_came(|| command.spawn())?;
        let mut printed = Zeroizing::new(Vec::with_capacity(MAX_ANSWER + 1));
        if let Some(output) = child.stdout.take() {
            let mut output = output.take(MAX_ANSWER as u64 + 1);
            while printed.len() <= MAX_ANSWER && output.read_buf(&mut *printed).await? > 0 {}
        }
        if printed.len() > MAX_ANSWER {
            return Err(io::Error::other(format!(
                "it printed more than {MAX_ANSWER} bytes"
            )));
        }
        match child.wait().await?.success() {
            true => line(&printed).map(Some),
            false => Ok(None),
        }
    }

    /// Its name for messages.
    pub(super) fn name(&self) -> String {
        let program = self.program.as_deref();
        program.map_or(CUSTOMARY.into(), |name| name.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_asked_where_ssh_asks_it() {
        let table = [
            (None, false, true, Way::Terminal),
            (None, true, true, Way::Terminal),
            (None, true, false, Way::Program),
            (None, false, false, Way::Terminal),
            (Some("prefer"), true, true, Way::Program),
            (Some("prefer"), false, true, Way::Terminal),
            (Some("never"), true, false, Way::Terminal),
            (Some("force"), false, true, Way::Program),
            (Some("FORCE"), true, false, Way::Program),
            (Some("other"), true, true, Way::Terminal),
        ];
        for (require, has_display, has_terminal, way) in table {
            let askpass = Askpass {
                program: None,
                require: require.map(Into::into),
                has_display,
            };
            let got = askpass.way(has_terminal);
            assert_eq!(got, way, "{require:?} {has_display} {has_terminal}");
        }
    }

    fn asking(script: &str) -> (tempfile::TempDir, Askpass) {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("askpass");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let askpass = Askpass {
            program: Some(path.into()),
            ..Askpass::default()
        };
        (folder, askpass)
    }

    #[tokio::test]
    async fn answer_is_a_line_of_a_program_that_succeeds() {
        let table = [
            ("printf '%s\\r\\nmore\\n' \"$1\"", Some("question? ")),
            ("echo", Some("")),
            ("echo secret; exit 1", None),
            ("echo secret; kill -9 $$", None),
        ];
        for (script, answer) in table {
            let (_folder, askpass) = asking(script);
            let got = askpass.ask("question? ").await.unwrap();
            assert_eq!(got.as_deref(), answer, "{script}");
        }
        let (_folder, endless) = asking("exec yes");
        endless.ask("question? ").await.unwrap_err();
    }
}
