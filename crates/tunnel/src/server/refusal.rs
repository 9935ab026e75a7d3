//! Refusal of a client before its login: one write with the reason, without waiting for the client.
//!
//! ```text
//!   Not allowed at this time: WHY        a line before the identification (RFC 4253 §4.2), for those who show it
//!   SSH-2.0-adit_…                       without which no packet may come
//!   SSH_MSG_DISCONNECT with WHY          for ssh, PuTTY and their like, which show this one
//! ```
//!
//! The text is short and the same for everybody, and needs no computation: causing refusals must not be a way to keep
//! the server busy.

use std::sync::Arc;
use std::time::Duration;

use adit_proto::ident;
use adit_proto::message::transport::Disconnect;
use adit_proto::packet::Sealer;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::gate::Refusal;
use crate::net::Stream;

/// Limit of the refused connections that are still open.
const OPEN: usize = 16;
/// Time for such a client to read the reason and close.
const PATIENCE: Duration = Duration::from_secs(1);
/// Limit of the bytes read from it meanwhile: enough for its identification and its algorithms.
const SAID: usize = 16 << 10;

/// Refused connections that are still open. A client that writes to a closed socket may never read the reason.
#[derive(Debug)]
pub(super) struct Refused(Arc<Semaphore>);

impl Default for Refused {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OPEN)))
    }
}

impl Refused {
    /// Sends the reason. Closes as soon as the client does, or at once if too many refused connections are open.
    pub(super) fn tell(&self, socket: Stream, refusal: Refusal) {
        // A client that is gone, or whose buffer is full, gets no reason.
        let told = socket.write_at_once(&text(refusal)).is_ok();
        let Ok(place) = self.0.clone().try_acquire_owned() else {
            return;
        };
        // A client that reads until EOF now has the reason, and closes.
        if told && socket.shutdown_write().is_ok() {
            tokio::spawn(async move {
                let _ = timeout(PATIENCE, until_it_goes(&socket)).await;
                drop(place);
            });
        }
    }
}

async fn until_it_goes(socket: &Stream) {
    let mut said = 0;
    while said < SAID {
        match socket.read_some().await {
            Ok(bytes) if !bytes.is_empty() => said += bytes.len(),
            _ => return,
        }
    }
}

fn text(refusal: Refusal) -> Vec<u8> {
    let why = refusal.for_the_client();
    let mut text = format!("Not allowed at this time: {why}\r\n{}\r\n", ident::ours()).into_bytes();
    let disconnect = Disconnect {
        reason: refusal.code(),
        description: why,
    };
    // If the packet does not fit, the line is still sent.
    let _ = Sealer::new().seal_message(&disconnect.encode(), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::startups::Exceeded;

    #[test]
    fn refusal_is_a_line_an_identification_and_a_packet() {
        let refusal = Refusal::Startups(Exceeded::All);
        let text = text(refusal);
        let start = b"Not allowed at this time: too many connections are about to log in";
        assert!(text.starts_with(start));
        assert!(text.len() < 512, "{}", text.len());
        let shown = String::from_utf8_lossy(&text);
        assert!(shown.contains(&format!("\r\n{}\r\n\0\0\0", ident::ours())));
        assert_eq!(shown.matches("try again in a moment").count(), 2);
    }
}
