//! The client's options, typed. A field that is `None` was set nowhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;

use crate::config::connection::ConnectionOptions;
use crate::config::destination::Destination;
use crate::config::expand::{
    ExpandError, check_length, expand_tokens, expand_variables, join_home, split_home,
};
use crate::config::spec::Forward;
use crate::known_hosts::StrictHostKeyChecking;
use crate::pattern::PatternList;
use crate::policy::RuleList;

use super::Context;
use super::session::SessionOptions;

/// Use of keys for the login (`PubkeyAuthentication`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PubkeyAuthentication {
    /// They are not.
    No,
    /// They are.
    Yes,
    /// They are, without the host-bound extension.
    Unbound,
    /// They are, with the host-bound extension.
    HostBound,
}

/// Agent that holds keys (`IdentityAgent`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityAgent {
    /// None.
    Disabled,
    /// The one whose socket this environment variable names.
    Variable(String),
    /// The one at this socket.
    Socket(PathBuf),
}

/// Completion of host names with `CanonicalDomains` (`CanonicalizeHostname`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canonicalize {
    /// It is not.
    No,
    /// It is (`yes`), unless a jump host is to resolve it.
    Direct,
    /// It is, in any case.
    Always,
}

/// The hosts on the way (`ProxyJump`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyJump {
    /// None: connect directly.
    Direct,
    /// Through these, the first one first.
    Through(Vec<Destination>),
}

/// The client's options. The first value wins; lists that accumulate are `Vec`s.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientOptions {
    /// `HostName`; default: the host as typed.
    pub host_name: Option<String>,
    /// `User`; default: the local user.
    pub user: Option<String>,
    /// `Port`; default 22.
    pub port: Option<u16>,
    /// `CanonicalizeHostname`; default no.
    pub canonicalize_hostname: Option<Canonicalize>,
    /// `CanonicalDomains`, in order; empty: `none`.
    pub canonical_domains: Option<Vec<String>>,
    /// `CanonicalizeMaxDots`; default 1.
    pub canonicalize_max_dots: Option<u32>,
    /// `CanonicalizeFallbackLocal`; default yes.
    pub canonicalize_fallback_local: Option<bool>,
    /// `Tag`, for `Match tagged`.
    pub tag: Option<String>,
    /// `BindAddress`: the source address of the SSH connection.
    pub bind_address: Option<String>,
    /// `ConnectTimeout`; default and zero: the system's.
    pub connect_timeout: Option<Duration>,
    /// `ProxyJump`, also set by `ProxyCommand none`; default direct.
    pub proxy_jump: Option<ProxyJump>,

    /// `IdentityFile`, in order, each once. `none` stands in it as the path `none`.
    pub identity_files: Vec<PathBuf>,
    /// `IdentitiesOnly`; default no.
    pub identities_only: Option<bool>,
    /// `IdentityAgent`; default the variable `SSH_AUTH_SOCK`.
    pub identity_agent: Option<IdentityAgent>,
    /// `PreferredAuthentications`: names of methods as written.
    pub preferred_authentications: Option<Vec<String>>,
    /// `PubkeyAuthentication`; default yes.
    pub pubkey_authentication: Option<PubkeyAuthentication>,
    /// `PasswordAuthentication`; default yes.
    pub password_authentication: Option<bool>,
    /// `KbdInteractiveAuthentication`; default yes.
    pub kbd_interactive_authentication: Option<bool>,
    /// `NumberOfPasswordPrompts`; default 3.
    pub number_of_password_prompts: Option<u32>,
    /// `BatchMode`: never ask; default no.
    pub batch_mode: Option<bool>,

    /// `UserKnownHostsFile`; empty: `none`; default `~/.ssh/known_hosts` and `~/.ssh/known_hosts2`.
    pub user_known_hosts_files: Option<Vec<PathBuf>>,
    /// `GlobalKnownHostsFile`; empty: `none`; default `/etc/ssh/ssh_known_hosts` and `…2`.
    pub global_known_hosts_files: Option<Vec<PathBuf>>,
    /// `StrictHostKeyChecking`; default ask.
    pub strict_host_key_checking: Option<StrictHostKeyChecking>,
    /// `HashKnownHosts`; default no.
    pub hash_known_hosts: Option<bool>,
    /// `HostKeyAlias`: the name to look up instead of the host's.
    pub host_key_alias: Option<String>,
    /// `NoHostAuthenticationForLocalhost`; default no.
    pub no_host_authentication_for_localhost: Option<bool>,

    /// `LocalForward`, `RemoteForward`, `DynamicForward`, in order, each once.
    pub forwards: Vec<Forward>,
    /// `ClearAllForwardings`; default no. See [`ClientOptions::effective_forwards`].
    pub clear_all_forwardings: Option<bool>,
    /// `GatewayPorts`; default no.
    pub gateway_ports: Option<bool>,
    /// `ExitOnForwardFailure`; default no.
    pub exit_on_forward_failure: Option<bool>,
    /// `PermitRemoteOpen`: where remote SOCKS may lead; default any.
    pub permit_remote_open: Option<RuleList>,

    /// `ServerAliveInterval`; default and zero: never.
    pub server_alive_interval: Option<Duration>,
    /// `ServerAliveCountMax`; default 3.
    pub server_alive_count_max: Option<u32>,
    /// `Compression`; default no.
    pub compression: Option<bool>,
    /// Options that sshd_config has, too.
    pub connection: ConnectionOptions,

    /// `ForkAfterAuthentication`; default no.
    pub fork_after_authentication: Option<bool>,
    /// The shell, the command or the subsystem.
    pub session: SessionOptions,
    /// `IgnoreUnknown`: keywords that may be unknown.
    pub ignore_unknown: Option<PatternList>,
}

impl ClientOptions {
    /// The forwards that are made: none under `ClearAllForwardings`.
    pub fn effective_forwards(&self) -> &[Forward] {
        match self.clear_all_forwardings {
            Some(true) => &[],
            _ => &self.forwards,
        }
    }

    /// Adds a forward of the command line, unless the very same is there already.
    pub fn add_forward(&mut self, forward: Forward) {
        if !self.forwards.contains(&forward) {
            self.forwards.push(forward);
        }
    }

    /// Fills in tokens, variables and `~`. To be done once, when all sources have been read.
    ///
    /// # Errors
    /// A token that is not known, a variable that is not set, or no such user.
    pub fn expanded(self, context: &Context<'_>) -> Result<Self, ExpandError> {
        let host_name = self.expanded_host_name(context)?;
        let tokens = Tokens {
            options: &self,
            context,
            host_name: &host_name,
        };
        let paths = |list: &[PathBuf]| -> Result<Vec<PathBuf>, ExpandError> {
            list.iter().map(|path| tokens.fill_path(path)).collect()
        };
        let identity_files = paths(&self.identity_files)?;
        let user_known_hosts_files = self
            .user_known_hosts_files
            .as_deref()
            .map(paths)
            .transpose()?;
        let identity_agent = match &self.identity_agent {
            Some(IdentityAgent::Socket(path)) => {
                Some(IdentityAgent::Socket(tokens.fill_path(path)?))
            }
            other => other.clone(),
        };
        let fill = |path: &Path| tokens.fill_socket(path);
        let forwards = self
            .forwards
            .iter()
            .map(|f| f.map_paths(fill))
            .collect::<Result<_, _>>()?;
        let command = |command: &Option<String>| {
            let filled = command
                .as_deref()
                .map(|text| expand_tokens(text, |t| tokens.value(t)));
            filled.transpose()
        };
        let session = SessionOptions {
            remote_command: command(&self.session.remote_command)?,
            local_command: command(&self.session.local_command)?,
            ..self.session.clone()
        };
        Ok(Self {
            session,
            host_name: Some(host_name),
            identity_files,
            user_known_hosts_files,
            identity_agent,
            forwards,
            ..self
        })
    }

    /// The host to connect to: `HostName` with its `%h`, or the host as typed.
    pub(super) fn expanded_host_name(&self, context: &Context<'_>) -> Result<String, ExpandError> {
        match &self.host_name {
            None => Ok(context.host.to_owned()),
            Some(name) => expand_tokens(name, |token| {
                (token == 'h').then(|| context.host.to_owned())
            }),
        }
    }

    /// A command of `Match exec` with its tokens; `host_name` is where the connection would go.
    pub(super) fn expanded_command(
        &self,
        command: &str,
        host_name: &str,
        context: &Context<'_>,
    ) -> Result<String, ExpandError> {
        let tokens = Tokens {
            options: self,
            context,
            host_name,
        };
        expand_tokens(command, |token| tokens.value(token))
    }
}

/// Values of the `%` tokens in paths.
struct Tokens<'a> {
    options: &'a ClientOptions,
    context: &'a Context<'a>,
    host_name: &'a str,
}

impl Tokens<'_> {
    fn value(&self, token: char) -> Option<String> {
        let Self {
            options,
            context,
            host_name,
        } = self;
        let local_host = context.local_host;
        Some(match token {
            'h' => (*host_name).to_owned(),
            'n' => context.host.to_owned(),
            'k' => options
                .host_key_alias
                .as_deref()
                .unwrap_or(context.host)
                .to_owned(),
            'p' => options.port.unwrap_or(22).to_string(),
            'r' => options
                .user
                .as_deref()
                .unwrap_or(context.local_user)
                .to_owned(),
            'u' => context.local_user.to_owned(),
            'i' => context.local_uid.to_string(),
            'd' => context.home.to_string_lossy().into_owned(),
            'l' => local_host.to_owned(),
            'L' => local_host
                .split('.')
                .next()
                .unwrap_or(local_host)
                .to_owned(),
            'j' => self.jump_host().to_owned(),
            'C' => self.connection_hash(),
            _ => return None,
        })
    }

    /// The last host of `ProxyJump`, or nothing.
    fn jump_host(&self) -> &str {
        match &self.options.proxy_jump {
            Some(ProxyJump::Through(hops)) => hops.last().map_or("", |hop| hop.host.as_str()),
            _ => "",
        }
    }

    /// `%C`: a name for this connection, the same that OpenSSH gives it.
    fn connection_hash(&self) -> String {
        let parts: String = "lhprj"
            .chars()
            .filter_map(|token| self.value(token))
            .collect();
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.as_bytes());
        hash.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// A path of a file. The home directory is not looked at for tokens, only what was written.
    fn fill_path(&self, path: &Path) -> Result<PathBuf, ExpandError> {
        let Some(text) = path.to_str() else {
            // Not from a configuration file, which is UTF-8: an argument, to be taken as it is.
            return Ok(path.to_path_buf());
        };
        let Context { home, lookups, .. } = self.context;
        let (home, written) = split_home(text, home, lookups)?;
        Ok(join_home(home, &self.fill(written)?))
    }

    /// A path of a socket to forward: no `~`, and its variables are filled in already.
    fn fill_socket(&self, path: &Path) -> Result<PathBuf, ExpandError> {
        match path.to_str() {
            Some(text) => expand_tokens(text, |token| self.value(token)).map(PathBuf::from),
            None => Ok(path.to_path_buf()),
        }
    }

    /// Tokens and variables in one pass over what was written, not over each other's values.
    fn fill(&self, text: &str) -> Result<String, ExpandError> {
        let mut out = String::new();
        let mut rest = text;
        loop {
            let Some((before, tail)) = rest.split_once("${") else {
                out.push_str(&expand_tokens(rest, |token| self.value(token))?);
                check_length(&out, text)?;
                return Ok(out);
            };
            let (name, after) = tail
                .split_once('}')
                .ok_or_else(|| ExpandError::OpenVariable(text.to_owned()))?;
            let variable = format!("${{{name}}}");
            out.push_str(&expand_tokens(before, |token| self.value(token))?);
            out.push_str(&expand_variables(&variable, &self.context.lookups)?);
            check_length(&out, text)?;
            rest = after;
        }
    }
}
