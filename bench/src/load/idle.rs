//! Many connections that stay open.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;

use super::echo::echo_connection_from;
use crate::failure::{Failure, Result};

/// Number of connections that are opened at the same time.
const OPENERS: u8 = 16;

/// Number of forwards to one far end that let thousands in: OpenSSH takes in one connection of each forward whenever it
/// has looked at all its channels, and with ten thousand of them it looks long.
pub(crate) const DOORS: usize = 16;

/// Opens `count` connections to far ends through `entries` in turn, each proven by one byte.
pub(crate) fn connections(entries: &[SocketAddr], count: usize) -> Result<Vec<TcpStream>> {
    let open = |opener: u8| {
        let share = count / usize::from(OPENERS)
            + usize::from(usize::from(opener) < count % usize::from(OPENERS));
        let (source, entry) = (source(opener), entries[usize::from(opener) % entries.len()]);
        (0..share)
            .map(|_| echo_connection_from(source, entry))
            .collect::<Result<Vec<_>>>()
    };
    let opened = thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| scope.spawn(move || open(opener)))
            .collect();
        let ends = openers.into_iter().map(|opener| {
            opener
                .join()
                .unwrap_or_else(|_| Err(Failure::new("a load thread panicked")))
        });
        ends.collect::<Result<Vec<_>>>()
    })?;
    Ok(opened.into_iter().flatten().collect())
}

/// The address of an opener, so that each has ephemeral ports of its own.
pub(crate) fn source(opener: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, opener + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::target::Target;

    #[test]
    fn as_many_as_asked_for_are_open() {
        let target = Target::start().unwrap();
        let connections = connections(&[target.address], 19).unwrap();
        assert_eq!(connections.len(), 19);
    }
}
