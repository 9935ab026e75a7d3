//! A person at a terminal: a program on a pseudo-terminal of its own, keys that are typed, and what the screen shows.

use crate::process::{end_family, through_env};
use crate::wait::{self, Pending};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// A terminal with a program in it.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's end, kept open so that its modes can be looked at when the program has ended.
    line: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts `command` as the session leader of a terminal with so many lines and columns.
    ///
    /// # Panics
    ///
    /// When there is no pseudo-terminal, or the program cannot be started.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).expect("a pseudo-terminal");
        unlockpt(&controller).expect("it is ours");
        let line = ioctl_tiocgptpeer(&controller, flags).expect("its other end");
        resize(&controller, rows, columns);
        let stdio = || Stdio::from(line.try_clone().expect("a descriptor"));
        let mut leader = Command::new("setsid");
        let wrapped = through_env("--default-signal=HUP,INT,TSTP,TTOU,TTIN", command);
        leader.args(["-c", "-w"]).arg(wrapped.get_program());
        leader.args(wrapped.get_args());
        for (name, value) in wrapped.get_envs() {
            match value {
                Some(value) => leader.env(name, value),
                None => leader.env_remove(name),
            };
        }
        let child = leader
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let keyboard = File::from(controller);
        let screen = Arc::<Mutex<Vec<u8>>>::default();
        let reader = keyboard.try_clone().expect("a descriptor");
        let shown = screen.clone();
        thread::spawn(move || show(reader, &shown));
        Self {
            child,
            keyboard,
            line,
            screen,
        }
    }

    /// Types some keys.
    ///
    /// # Panics
    ///
    /// When the terminal is gone.
    pub fn type_keys(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("a terminal");
    }

    /// Changes the terminal's size, as a window does that is dragged.
    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.keyboard, rows, columns);
    }

    /// All that the screen has shown so far.
    pub fn shown(&self) -> String {
        let screen = self.screen.lock().expect("the reader does not panic");
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Waits until the screen has shown `text`, so many times.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn await_shown(&mut self, text: &str, times: usize) {
        let waited = wait::until(&format!("{text:?} on the screen"), || {
            let shown = self.shown();
            match shown.matches(text).count() >= times {
                true => Ok(()),
                false => Err(Pending::NotYet(shown)),
            }
        });
        waited.unwrap_or_else(|late| panic!("{late}"));
    }

    /// True while what is typed is echoed by the terminal itself, a line at a time: it is not raw.
    ///
    /// # Panics
    ///
    /// When the terminal is gone.
    pub fn is_cooked(&self) -> bool {
        use rustix::termios::LocalModes;
        let modes = tcgetattr(&self.line).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Waits until the terminal is raw.
    ///
    /// # Panics
    ///
    /// When it stays as it is.
    pub fn await_raw(&self) {
        let waited = wait::until("a raw terminal", || match self.is_cooked() {
            false => Ok(()),
            true => Err(Pending::NotYet(self.shown())),
        });
        waited.unwrap_or_else(|late| panic!("{late}"));
    }

    /// Waits for the program's end; gives its exit code.
    ///
    /// # Panics
    ///
    /// When it goes on.
    pub fn end(mut self) -> Option<i32> {
        let child = &mut self.child;
        let shown = self.screen.clone();
        let ended = wait::until("the program in the terminal ends", || {
            match child.try_wait() {
                Ok(Some(status)) => Ok(status.code()),
                Ok(None) => {
                    let shown = shown.lock().expect("the reader does not panic");
                    Err(Pending::NotYet(
                        String::from_utf8_lossy(&shown).into_owned(),
                    ))
                }
                Err(error) => Err(Pending::Never(error.to_string())),
            }
        });
        ended.unwrap_or_else(|late| panic!("{late}"))
    }

    /// Number of the process that is the terminal's session leader.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            end_family(self.child.id());
            let _ = self.child.wait();
        }
    }
}

fn resize(terminal: impl AsFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("a terminal");
}

fn show(mut reader: File, screen: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    // The end of a pseudo-terminal is an error.
    while let Ok(read @ 1..) = reader.read(&mut piece) {
        screen
            .lock()
            .expect("whoever looks does not panic")
            .extend_from_slice(&piece[..read]);
    }
}
