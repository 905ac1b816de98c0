//! Signing and checking.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::codec::{self, Body, HEADER, ROOM, SIGNATURE, VERSION};
use super::{Claims, LONGEST, Token, TokenError};
use crate::config::Secret;
use crate::time::Wall;

/// What is signed in front of a token, so that the same secret cannot be made to sign anything else.
const PURPOSE: &[u8] = b"rr session token\0";

/// The keys of session tokens: the first one signs, all of them are accepted.
///
/// To replace a key without refusing anybody: add the new one *behind* the old one everywhere, then put it first everywhere,
/// then, when the lifetime of a token has passed, remove the old one.
#[derive(Clone, Default)]
pub struct KeyRing {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    /// Tells which key signed a token, and nothing about it.
    id: [u8; 2],
    /// Begun with the secret and the purpose.
    mac: Hmac<Sha256>,
}

impl KeyRing {
    /// The keys made from these secrets, the one that signs first.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self { keys: secrets.into_iter().filter_map(Key::new).collect() }
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The claims as a token.
    ///
    /// # Errors
    /// When there is no key.
    pub fn sign(&self, claims: &Claims) -> Result<Token, TokenError> {
        let key = self.keys.first().ok_or(TokenError::NoKeys)?;
        let body = Body::of(claims, key.id);
        let signature = key.mac.clone().chain_update(body.as_slice()).finalize().into_bytes();
        let signature = signature.get(..SIGNATURE).unwrap_or_default();
        Ok(Token::new(URL_SAFE_NO_PAD.encode([body.as_slice(), signature].concat())))
    }

    /// What a token says, if it was signed with one of the keys, belongs to this cluster and has not expired at `now`.
    ///
    /// Its cost does not depend on the length of the text, and the signature is compared in constant time.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn open(&self, text: &str, cluster: Option<u64>, now: Wall) -> Result<Claims, TokenError> {
        if self.is_empty() {
            return Err(TokenError::NoKeys);
        }
        if text.len() > LONGEST {
            return Err(TokenError::TooLong { length: text.len() });
        }
        let mut room = [0; ROOM];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut room).map_err(|_| TokenError::Malformed)?;
        let bytes = room.get(..length).unwrap_or_default();
        match bytes.first() {
            None => return Err(TokenError::Malformed),
            Some(&VERSION) => {}
            Some(&version) => return Err(TokenError::Version(version)),
        }
        let (body, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(TokenError::Malformed)?;
        let id = body.get(1..HEADER).ok_or(TokenError::Malformed)?;
        // Two keys may have the same id, once in 65 536 pairs.
        let mut candidates = self.keys.iter().filter(|key| key.id == id).peekable();
        if candidates.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        if !candidates.any(|key| key.signed(body, signature)) {
            return Err(TokenError::Forged);
        }
        let claims = codec::read(body)?;
        match cluster {
            None => return Err(TokenError::ClusterUnknown),
            Some(ours) if ours != claims.cluster => return Err(TokenError::ForeignCluster),
            Some(_) => {}
        }
        let age = now.since(claims.issued_at);
        if age >= claims.lifetime {
            return Err(TokenError::Expired { ago: age - claims.lifetime });
        }
        Ok(claims)
    }
}

impl Key {
    fn new(secret: &Secret) -> Option<Self> {
        let secret = secret.expose().as_bytes();
        let digest = Sha256::new().chain_update(b"rr session key\0").chain_update(secret).finalize();
        let mac = Hmac::<Sha256>::new_from_slice(secret).ok()?.chain_update(PURPOSE);
        Some(Self { id: [digest[0], digest[1]], mac })
    }

    fn signed(&self, body: &[u8], signature: &[u8]) -> bool {
        self.mac.clone().chain_update(body).verify_truncated_left(signature).is_ok()
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
