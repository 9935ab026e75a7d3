//! Free ports, and one that only root may have. Free ones are taken below the range from which the kernel serves outgoing connections, so that nobody else's
//! connection lands on a port between our look and the peer's bind.

use crate::missing::Missing;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// A port on which nobody listens, on no address of either family. No port is given out twice by one test process
/// until all have been.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Test processes that run side by side start far from each other.
        let offset = (process::id().wrapping_mul(97)).wrapping_add(step) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("FIRST + COUNT fits a port");
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// A port on which an ordinary user may not listen: 81, or the highest that is guarded, if that is lower.
///
/// # Errors
///
/// When the system guards none, as in many containers.
pub fn privileged_port() -> Result<u16, Missing> {
    let start = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let start = start.ok().and_then(|text| text.trim().parse().ok());
    highest_guarded(start.unwrap_or(1024)).ok_or(Missing {
        what: "a privileged port",
        remedy: "sysctl -w net.ipv4.ip_unprivileged_port_start=1024",
    })
}

fn highest_guarded(first_unprivileged: u16) -> Option<u16> {
    let port = first_unprivileged.saturating_sub(1).min(81);
    (port > 0).then_some(port)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let (one, other) = (free_port(), free_port());
        assert_ne!(one, other);
        assert!(TcpListener::bind(("127.0.0.1", one)).is_ok());
    }

    #[test]
    fn privileged_port_is_one_that_the_system_guards() {
        let ports = [1024, 80, 2, 1, 0].map(highest_guarded);
        assert_eq!(ports, [Some(81), Some(79), Some(1), None, None]);
    }

    #[test]
    fn a_taken_port_is_not_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
