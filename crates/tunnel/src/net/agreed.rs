//! The algorithms of a key exchange, for the log.

use adit_proto::transport::Transport;
use log::{debug, warn};

/// Logs the algorithms in OpenSSH's format, with a warning about those that only `AllowTerrapin` permits.
pub(super) fn log(transport: &Transport) {
    let Some(agreed) = transport.negotiated() else {
        return;
    };
    debug!("kex: algorithm: {}", agreed.kex.as_str());
    debug!("kex: host key algorithm: {}", agreed.host_key.as_str());
    debug!("kex: server->client {}", agreed.server_to_client);
    debug!("kex: client->server {}", agreed.client_to_server);
    if transport.exchanges() == 1 && transport.is_open_to_terrapin() {
        warn!(
            "AllowTerrapin: the peer ({}) lacks strict key exchange, without which {} is open to CVE-2023-48795: \
             somebody on the way can remove messages from the start of the connection",
            transport.peer_ident(),
            agreed.client_to_server.cipher
        );
    }
}
