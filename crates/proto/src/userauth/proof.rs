//! Proofs of a login: values that only the code can make that checked them. Whoever lets a user in must hand one over.

use super::CONNECTION_SERVICE;
use crate::key::{KeyError, PublicKey, SignatureAlgorithm};
use crate::message::userauth::publickey_signed_data;

/// Reason to let a user in. A password that was checked, or a `none` that is permitted, would be further kinds.
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

/// Statement of a client that it signed: in this session, this user wants the connection service with this key.
#[derive(Debug)]
pub struct Claim<'a> {
    /// `H` of the connection's first key exchange: a signature is good for one connection.
    pub session_id: &'a [u8],
    /// The account.
    pub user: &'a str,
    /// The algorithm that it signed with.
    pub algorithm: SignatureAlgorithm,
    /// The key.
    pub key: PublicKey,
}

/// Proof that a user has the private half of a key: its signature over the session id, the account and the service was
/// right. It says nothing about who may log in with the key.
///
/// It comes with a client's request, or from [`verify`](Self::verify). Nobody else can make one:
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
    /// Checks the signature of a claim (RFC 4252 §7).
    ///
    /// # Errors
    /// The signature is wrong, or made with another algorithm than the claim names.
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

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The account that the signature names.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// True for a signature that was made in this session and for this user.
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
        assert_eq!((proof.user(), proof.key()), ("u", public));
        assert!(VerifiedKey::verify(claim("v"), &signature).is_err());
    }
}
