//! The decision on one key: a line of the account's files must have it, and the rules must admit the user.

use std::net::IpAddr;
use std::sync::Arc;

use adit_proto::key::PublicKey;

use super::key_search::{Found, KeySearch, Remark};
use crate::server::account::LocalAccount;
use crate::server::readers::Readers;
use crate::server::settings::LoginRules;

/// Decides on the keys of one connection, for one account.
#[derive(Debug)]
pub(super) struct Authorizer<'a> {
    pub(super) account: Arc<LocalAccount>,
    pub(super) rules: Arc<LoginRules>,
    /// Address of the client, if it is known.
    pub(super) address: Option<IpAddr>,
    pub(super) readers: &'a Readers,
}

impl Authorizer<'_> {
    /// Finds the options of the line that lets `user` in with this key. The work is the same for all user names: the
    /// rules are checked after the search.
    pub(super) async fn authorize(&self, user: &str, key: &PublicKey) -> Found {
        let search = KeySearch {
            account: self.account.clone(),
            rules: self.rules.clone(),
            address: self.address,
            blob: key.blob().to_vec(),
        };
        let mut found = match self.readers.run(move || search.run()).await {
            Ok(found) => found,
            Err(error) => Found {
                options: None,
                remarks: vec![Remark::Failed(error)],
            },
        };
        let admitted = self.rules.admit(user, &self.account, self.address);
        let admits = |options: &_| admitted && self.rules.admit_key(options, &self.account);
        found.options = found.options.filter(admits);
        found
    }
}
