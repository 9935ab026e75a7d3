//! Addresses that a permitted name may lead to.
//!
//! OpenSSH compares `PermitOpen` with the name and then dials whatever the name resolves to. Whoever
//! controls the DNS of a permitted name can so point it at services that the server offers only to
//! itself. adit asks again with the address, and keeps setups working that OpenSSH serves:
//!
//! - A client that asks for an address gets exactly that address, whatever a resolver answers.
//! - Without a list (`any`) there is no forbidden address: the client could ask for it directly.
//! - With a list, a name may resolve to every address *except* the reserved ones: unspecified
//!   (`0.0.0.0`, `::`, which the kernel takes for loopback), multicast, broadcast, loopback, and the
//!   cloud metadata services (`169.254.169.254`, `fd00:ec2::254`).
//! - A reserved address is fine after all if the list permits it by itself (as an address, or by
//!   `*` with that port), or if the name is `localhost` or below and the address is loopback.
//! - `127.0.1.1` does not count as loopback: Debian's `/etc/hosts` gives it to the machine's own name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Denied, ListOwner, RuleList};

/// The address that Debian's installer gives to the machine's own name.
const DEBIAN_OWN_NAME: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// Address at which clouds serve credentials to whoever asks from the machine itself.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);

/// Permits to dial `host`, which `list` permits as a name, at `addr`.
pub(super) fn permit(
    owner: ListOwner,
    list: &RuleList,
    host: &str,
    addr: SocketAddr,
) -> Result<(), Denied> {
    let ip = addr.ip().to_canonical();
    if let Some(asked) = literal(host) {
        return match asked == ip {
            true => Ok(()),
            false => Err(Denied::OtherAddress {
                host: host.to_owned(),
                addr,
            }),
        };
    }
    let Some(kind) = reserved(ip) else {
        return Ok(());
    };
    let is_own_loopback = ip.is_loopback() && names_loopback(host);
    if is_own_loopback || list.permits_open(&ip.to_string(), addr.port()) {
        return Ok(());
    }
    Err(Denied::ResolvedToReserved {
        list: owner,
        host: host.to_owned(),
        addr,
        kind,
    })
}

/// The address that `host` is, if it is one. A zone (`fe80::1%eth0`) does not change the address.
fn literal(host: &str) -> Option<IpAddr> {
    let address = match host.split_once('%') {
        Some((address, _zone)) if address.contains(':') => address,
        _ => host,
    };
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

/// Kind of a reserved address; `None` for ordinary ones.
fn reserved(ip: IpAddr) -> Option<&'static str> {
    if ip.is_unspecified() {
        return Some("which means this host");
    }
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some("which is no single host");
    }
    if ip == IpAddr::V4(METADATA_V4) || ip == IpAddr::V6(METADATA_V6) {
        return Some("the cloud metadata service");
    }
    if ip.is_loopback() && ip != IpAddr::V4(DEBIAN_OWN_NAME) {
        return Some("the server itself");
    }
    None
}

/// Names that mean loopback everywhere (RFC 6761 §6.3, and Debian's `/etc/hosts`).
fn names_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    matches!(
        host.as_str(),
        "localhost" | "ip6-localhost" | "ip6-loopback"
    ) || host.ends_with(".localhost")
        || host == "localhost.localdomain"
}
