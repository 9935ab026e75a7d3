//! Settings of the login: methods, keys, questions.

use std::path::{Path, PathBuf};

use crate::config::ssh_config::{ClientOptions, IdentityAgent, PubkeyAuthentication};

/// Default of `NumberOfPasswordPrompts`.
const PROMPTS: u32 = 3;
/// Default of `IdentityFile`, as names in `.ssh`.
const CUSTOMARY: [&str; 3] = ["id_rsa", "id_ecdsa", "id_ed25519"];
/// Default of `IdentityAgent`: the variable with the agent's socket.
const AGENT: &str = "SSH_AUTH_SOCK";

/// Settings of the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginSettings {
    /// Methods to try, in order (`PreferredAuthentications`).
    pub methods: Vec<LoginMethod>,
    /// Methods that are switched off (`PubkeyAuthentication`, `PasswordAuthentication`, `KbdInteractiveAuthentication`).
    pub switched_off: Vec<LoginMethod>,
    /// Attempts to enter a password (`NumberOfPasswordPrompts`).
    pub prompts: u32,
    /// Key files (`IdentityFile`).
    pub identities: Identities,
    /// Keys of the agent that are used (`IdentitiesOnly`).
    pub agent_keys: AgentKeys,
    /// The agent (`IdentityAgent`).
    pub agent: IdentityAgent,
    /// `BatchMode`.
    pub questions: Questions,
}

/// Authentication method that adit supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginMethod {
    /// A key.
    PublicKey,
    /// An answer of the user.
    Ask(Asking),
}

/// Kind of a question to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// The server's questions.
    KeyboardInteractive,
    /// The account's password.
    Password,
}

/// Key files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identities {
    /// Files named by `IdentityFile` or `-i`.
    Named(Vec<PathBuf>),
    /// Default files in the user's `.ssh`, which may be missing.
    Customary(Vec<PathBuf>),
}

/// Keys of the agent to use (`IdentitiesOnly`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKeys {
    /// All keys.
    All,
    /// Keys that a key file names.
    OfFiles,
}

/// Questions to the user (`BatchMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Questions {
    /// Questions are asked.
    Asked,
    /// Questions are not asked.
    Suppressed,
}

impl LoginSettings {
    /// Settings with defaults filled in. `home` is the home directory of the local user.
    pub(super) fn new(options: &ClientOptions, home: &Path) -> Self {
        Self {
            methods: methods(options.preferred_authentications.as_deref()),
            switched_off: switched_off(options),
            prompts: options.number_of_password_prompts.unwrap_or(PROMPTS),
            identities: Identities::new(&options.identity_files, home),
            agent_keys: match options.identities_only {
                Some(true) => AgentKeys::OfFiles,
                _ => AgentKeys::All,
            },
            agent: match &options.identity_agent {
                Some(agent) => agent.clone(),
                None => IdentityAgent::Variable(AGENT.to_owned()),
            },
            questions: match options.batch_mode {
                Some(true) => Questions::Suppressed,
                _ => Questions::Asked,
            },
        }
    }

    /// True unless the method is switched off.
    pub fn uses(&self, method: LoginMethod) -> bool {
        !self.switched_off.contains(&method)
    }
}

/// Methods of a list that adit supports; all methods without a list.
fn methods(preferred: Option<&[String]>) -> Vec<LoginMethod> {
    let Some(preferred) = preferred else {
        return LoginMethod::ALL.to_vec();
    };
    let named = |name: &String| LoginMethod::ALL.into_iter().find(|m| m.name() == name);
    preferred.iter().filter_map(named).collect()
}

fn switched_off(options: &ClientOptions) -> Vec<LoginMethod> {
    let keys = options.pubkey_authentication == Some(PubkeyAuthentication::No);
    let questions = options.kbd_interactive_authentication == Some(false);
    let password = options.password_authentication == Some(false);
    let methods = LoginMethod::ALL
        .into_iter()
        .zip([keys, questions, password]);
    methods
        .filter_map(|(m, is_off)| is_off.then_some(m))
        .collect()
}

impl LoginMethod {
    /// All methods, in the order without `PreferredAuthentications`.
    pub(crate) const ALL: [Self; 3] = [
        Self::PublicKey,
        Self::Ask(Asking::KeyboardInteractive),
        Self::Ask(Asking::Password),
    ];

    /// Name of the method in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::PublicKey => "publickey",
            Self::Ask(Asking::KeyboardInteractive) => "keyboard-interactive",
            Self::Ask(Asking::Password) => "password",
        }
    }
}

impl Identities {
    /// The named files without `none`; the default files if none is named.
    fn new(named: &[PathBuf], home: &Path) -> Self {
        if named.is_empty() {
            let path = |name| home.join(".ssh").join(name);
            return Self::Customary(CUSTOMARY.map(path).to_vec());
        }
        let is_none = |path: &&PathBuf| path.as_os_str() == "none";
        Self::Named(named.iter().filter(|p| !is_none(p)).cloned().collect())
    }

    /// Files in the order in which they are tried.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Named(files) | Self::Customary(files) => files,
        }
    }

    /// True if the user named them.
    pub fn are_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &ClientOptions) -> LoginSettings {
        LoginSettings::new(options, Path::new("/home/u"))
    }

    #[test]
    fn preferred_methods_are_tried_in_their_order_and_no_others() {
        let tried = |names: &str| {
            let names = names.split(',').map(str::to_owned).collect();
            let options = ClientOptions {
                preferred_authentications: Some(names),
                ..ClientOptions::default()
            };
            let methods = settings(&options)
                .methods
                .into_iter()
                .map(LoginMethod::name);
            methods.collect::<Vec<_>>().join(",")
        };
        assert_eq!(tried("password,publickey"), "password,publickey");
        assert_eq!(
            tried("gssapi-with-mic,keyboard-interactive,hostbased"),
            "keyboard-interactive"
        );
        let all = settings(&ClientOptions::default()).methods;
        assert_eq!(all, LoginMethod::ALL);
    }

    #[test]
    fn each_method_is_switched_off_by_its_own_keyword() {
        let default = ClientOptions::default;
        let table = [
            (default(), vec![]),
            (
                ClientOptions {
                    pubkey_authentication: Some(PubkeyAuthentication::No),
                    ..default()
                },
                vec!["publickey"],
            ),
            (
                ClientOptions {
                    kbd_interactive_authentication: Some(false),
                    ..default()
                },
                vec!["keyboard-interactive"],
            ),
            (
                ClientOptions {
                    password_authentication: Some(false),
                    ..default()
                },
                vec!["password"],
            ),
        ];
        for (options, expected) in table {
            let off = settings(&options).switched_off.into_iter();
            assert_eq!(off.map(LoginMethod::name).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn none_names_no_key_file_and_leaves_the_customary_ones_out() {
        let options = ClientOptions {
            identity_files: vec!["none".into()],
            ..ClientOptions::default()
        };
        assert_eq!(settings(&options).identities, Identities::Named(Vec::new()));
        let customary = settings(&ClientOptions::default()).identities;
        assert_eq!(customary.files()[2], Path::new("/home/u/.ssh/id_ed25519"));
        assert!(!customary.are_named());
    }
}
