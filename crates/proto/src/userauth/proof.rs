//! Proofs of a login: values that only verifying code can create. The code that logs a user in needs one.

use super::CONNECTION_SERVICE;
use crate::key::{KeyError, PublicKey, SignatureAlgorithm};
use crate::message::userauth::publickey_signed_data;

/// Reason to log a user in. A verified password, or a permitted `none`, would be further kinds.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// A signature.
    Key(VerifiedKey),
}

impl From<VerifiedKey> for Proof {
    fn from(key: VerifiedKey) -> Self {
        Self::Key(key)
    }
}

/// Content of a signature: in this session, this user requests the connection service with this key.
#[derive(Debug)]
pub struct Claim<'a> {
    /// Session identifier: `H` of the connection's first key exchange. A signature is valid for one connection only.
    pub session_id: &'a [u8],
    /// Account of the login.
    pub user: &'a str,
    /// Algorithm of the signature.
    pub algorithm: SignatureAlgorithm,
    /// Key of the signature.
    pub key: PublicKey,
}

/// Proof that a user has the private key: its signature of the session identifier, the account and the service is
/// valid. It does not say who may log in with the key.
///
/// It comes with a client's request, or from [`verify`](Self::verify). No other code can create one:
/// ```
/// # use adit_proto::userauth::proof::{Claim, VerifiedKey};
/// fn prove(claim: Claim<'_>, signature: &[u8]) -> Option<VerifiedKey> {
///     VerifiedKey::verify(claim, signature).ok()
/// }
/// ```
/// ```compile_fail,E0451
/// # use adit_proto::userauth::proof::{Claim, VerifiedKey};
/// fn prove(claim: Claim<'_>, _signature: &[u8]) -> Option<VerifiedKey> {
///     Some(VerifiedKey { session_id: vec![], user: claim.user.into(), key: claim.key })
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct VerifiedKey {
    session_id: Vec<u8>,
    user: String,
    key: PublicKey,
}

impl VerifiedKey {
    /// Verifies the signature of a claim (RFC 4252 §7).
    ///
    /// # Errors
    /// The signature is invalid, or made with another algorithm than that of the claim.
    pub fn verify(claim: Claim<'_>, signature: &[u8]) -> Result<Self, KeyError> {
        let Claim {
            session_id,
            user,
            algorithm,
            key,
        } = claim;
        let name = algorithm.as_str();
        let signed = publickey_signed_data(session_id, user, CONNECTION_SERVICE, name, key.blob());
        key.verify(algorithm, &signed, signature)?;
        Ok(Self {
            session_id: session_id.to_owned(),
            user: user.to_owned(),
            key,
        })
    }

    /// The verified key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Account that the signature names.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Service that the signature names; nobody logs in for another.
    pub fn service(&self) -> &'static str {
        CONNECTION_SERVICE
    }

    /// True if the signature was made in this session and for this user.
    pub(super) fn is_of(&self, session_id: &[u8], user: &str) -> bool {
        self.session_id == session_id && self.user == user
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;

    #[test]
    fn signature_proves_one_user_of_one_session() {
        let key = SigningKey::generate_ed25519().unwrap();
        let (algorithm, public) = (SignatureAlgorithm::Ed25519, key.public_key());
        let claim = |user| Claim {
            session_id: b"session",
            user,
            algorithm,
            key: public.clone(),
        };
        let name = algorithm.as_str();
        let signed =
            publickey_signed_data(b"session", "u", CONNECTION_SERVICE, name, public.blob());
        let signature = key.sign(algorithm, &signed).unwrap();
        let proof = VerifiedKey::verify(claim("u"), &signature).unwrap();
        assert!(proof.is_of(b"session", "u"));
        assert!(!proof.is_of(b"session", "v") && !proof.is_of(b"other", "u"));
        let said = (proof.user(), proof.service(), proof.key());
        assert_eq!(said, ("u", "ssh-connection", public));
        assert!(VerifiedKey::verify(claim("v"), &signature).is_err());
    }
}
