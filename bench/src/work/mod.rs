//! Tasks over `adit-proto`, each a struct that is set up once and whose method does one unit of work.

pub mod channels;
pub mod packets;
pub mod windows;

use adit_proto::cipher::CipherName;
use channels::Table;
use packets::Packets;
use windows::Windows;

/// The ciphers that are measured: those that are negotiated with AES instructions and without, and what old
/// peers have.
pub const CIPHERS: [CipherName; 3] = [
    CipherName::Aes256Gcm,
    CipherName::ChaCha20Poly1305,
    CipherName::Aes256Ctr,
];

/// The payloads that are measured, in bytes: a keystroke, a segment, a packet towards OpenSSH, one towards adit.
pub const SIZES: [usize; 4] = [64, 1400, 32 << 10, 256 << 10];

/// The numbers of channels that are measured.
pub const CHANNELS: [usize; 5] = [1, 10, 100, 1000, 10_000];

/// A task by its name, and how to set it up.
pub struct Task {
    /// Name of the task for `adit-bench work`.
    pub name: String,
    /// Does the setting up, and gives what does one unit of work.
    pub prepare: Box<dyn Fn() -> Box<dyn FnMut()>>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All of them. Opening needs a packet that was sealed just before, so it comes together with that.
pub fn tasks() -> Vec<Task> {
    let mut tasks = Vec::new();
    for cipher in CIPHERS {
        for size in SIZES {
            let name = |verb| format!("{verb}/{cipher}/{size}");
            tasks.push(Task::new(name("seal"), move || {
                let mut packets = Packets::new(cipher, size);
                Box::new(move || packets.seal())
            }));
            tasks.push(Task::new(name("seal-and-open"), move || {
                let mut packets = Packets::new(cipher, size);
                Box::new(move || {
                    packets.seal();
                    packets.open();
                })
            }));
        }
    }
    for count in CHANNELS {
        tasks.push(Task::new(format!("channel-turn/{count}"), move || {
            let mut table = Table::new(count);
            Box::new(move || table.turn())
        }));
    }
    tasks.push(Task::new("windows".to_owned(), || {
        let mut windows = Windows::new();
        Box::new(move || windows.exchange())
    }));
    tasks
}

impl Task {
    fn new(name: String, prepare: impl Fn() -> Box<dyn FnMut()> + 'static) -> Self {
        Self {
            name,
            prepare: Box::new(prepare),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_can_be_done_again() {
        for task in tasks() {
            let mut work = (task.prepare)();
            work();
            work();
        }
    }
}
