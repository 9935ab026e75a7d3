//! The demo's page: the picture of this run's tunnel with its ports, and the figures that move in it.
//!
//! `page.html` is the whole page, style and script included; nothing is loaded from elsewhere. The figures come as
//! server-sent events, one line of JSON each.

use std::net::SocketAddr;
use std::path::PathBuf;

use adit_tunnel::status::ForwardStatus;

/// Addresses that this run listens on.
pub(super) struct Run {
    /// aditd.
    pub(super) server: SocketAddr,
    /// The web site.
    pub(super) site: SocketAddr,
    /// The echo.
    pub(super) echo: SocketAddr,
    /// Port of `-L`.
    pub(super) local: u16,
    /// Port of `-D`.
    pub(super) dynamic: u16,
    /// Port of `-R`, at the server.
    pub(super) remote: u16,
    /// Unix socket of the other `-L`.
    pub(super) socket: PathBuf,
}

impl Run {
    /// The page of this run.
    pub(super) fn page(&self) -> String {
        let mut page = include_str!("page.html").to_owned();
        for (name, value) in [
            ("{{server}}", self.server.to_string()),
            ("{{site}}", self.site.to_string()),
            ("{{echo}}", self.echo.to_string()),
            ("{{local}}", self.local.to_string()),
            ("{{dynamic}}", self.dynamic.to_string()),
            ("{{remote}}", self.remote.to_string()),
            ("{{socket}}", self.socket.display().to_string()),
        ] {
            page = page.replace(name, &escape(&value));
        }
        page
    }
}

/// Text as HTML shows it: TMPDIR may have any character in its name.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A server-sent event with the figures of all forwards, in the order of the page's table.
pub(super) fn event(forwards: &[ForwardStatus]) -> String {
    let forwards: Vec<String> = forwards
        .iter()
        .map(|forward| {
            let carried = &forward.carried;
            format!(
                r#"{{"open":{},"opened":{},"sent":{},"received":{}}}"#,
                carried.open, carried.opened, carried.sent_bytes, carried.received_bytes
            )
        })
        .collect();
    format!("data: [{}]\n\n", forwards.join(","))
}

#[cfg(test)]
mod tests {
    use adit_tunnel::status::{Carried, ForwardId, ForwardState};

    use super::*;

    #[test]
    fn folder_with_markup_in_its_name_is_shown_as_text() {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let run = Run {
            server: anywhere,
            site: anywhere,
            echo: anywhere,
            local: 2,
            dynamic: 3,
            remote: 4,
            socket: "/tmp/<script>&\"/web.sock".into(),
        };
        let page = run.page();
        assert!(page.contains("/tmp/&lt;script&gt;&amp;&quot;/web.sock"));
        assert!(!page.contains("{{"), "a place that nothing filled");
    }

    #[test]
    fn event_holds_every_forward_in_order() {
        let forward = |open| ForwardStatus {
            id: ForwardId(1),
            label: "forward".into(),
            state: ForwardState::Waiting,
            carried: Carried {
                open,
                opened: 2,
                failed: 0,
                sent_bytes: 3,
                received_bytes: 4,
            },
        };
        assert_eq!(
            event(&[forward(1), forward(0)]),
            "data: [{\"open\":1,\"opened\":2,\"sent\":3,\"received\":4},\
             {\"open\":0,\"opened\":2,\"sent\":3,\"received\":4}]\n\n"
        );
    }
}
