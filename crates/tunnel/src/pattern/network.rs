//! Networks, as `from=`, `AllowUsers` and their like write them.

use std::net::IpAddr;

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Refusal of text with a `/` that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadNetwork;

impl Network {
    /// Parses `address` or `address/prefix`; `None` if the text is not meant as one.
    ///
    /// Fails if the prefix is no number or too long, or if bits are set beyond it, as in OpenSSH.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, BadNetwork>> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let Some(prefix) = prefix else {
            let prefix = width;
            return Some(Ok(Self { address, prefix }));
        };
        let prefix = match prefix.parse::<u8>() {
            Ok(n) if n <= width && prefix.bytes().all(|b| b.is_ascii_digit()) => n,
            _ => return Some(Err(BadNetwork)),
        };
        let network = Self { address, prefix };
        match network.host_bits() {
            0 => Some(Ok(network)),
            _ => Some(Err(BadNetwork)),
        }
    }

    /// IPv4 addresses in IPv6's form: no peer has one, since peers are compared in their IPv4 form.
    pub(crate) fn is_mapped(&self) -> bool {
        self.address.is_ipv6() && self.address.to_canonical().is_ipv4()
    }

    /// True if `ip` is in the network; an IPv4-mapped IPv6 address counts as IPv4.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                leading(net.to_bits().into(), 32, self.prefix)
                    == leading(ip.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                leading(net.to_bits(), 128, self.prefix) == leading(ip.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }

    /// The bits beyond the prefix that are set.
    fn host_bits(&self) -> u128 {
        let (bits, width) = match self.address {
            IpAddr::V4(v4) => (v4.to_bits().into(), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let host_width = u32::from(width - self.prefix);
        bits & !u128::MAX.checked_shl(host_width).unwrap_or(0)
    }
}

/// The first `prefix` bits of a number that is `width` bits wide.
fn leading(bits: u128, width: u8, prefix: u8) -> u128 {
    bits.checked_shr(u32::from(width - prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, ip, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("::ffff:10.0.0.0/104", "10.1.1.1", false),
            ("::ffff:10.0.0.7", "10.0.0.7", false),
        ] {
            let parsed = Network::parse(network).unwrap().unwrap();
            assert_eq!(
                parsed.contains(ip.parse().unwrap()),
                expected,
                "{network} {ip}"
            );
        }
    }

    #[test]
    fn networks_with_impossible_prefixes_are_refused() {
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "2001:db8::1/64",
        ] {
            assert_eq!(Network::parse(bad), Some(Err(BadNetwork)), "{bad}");
        }
        for other in ["host.example", "10.0.0.*", "", "10.0.0/8"] {
            assert_eq!(Network::parse(other), None, "{other}");
        }
    }
}
