//! Digests: the names of content, and computing them while bytes go by.
//!
//! Kernel objects: none. Invariant: a [`Digest`] always has a known algorithm and exactly its
//! length, so that its text can never be a path.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

use crate::error::{Error, Reason, Result};

/// A hash function that the OCI image specification registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256: 64 hexadecimal digits.
    Sha256,
    /// SHA-512: 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// Its name in a digest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many bytes its digests have.
    #[must_use]
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => LEN_MAX,
        }
    }

    /// Every algorithm.
    pub(crate) const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const LEN_MAX: usize = 64;

/// The name of content: an algorithm and a hash, written `sha256:…` with lower-case digits.
///
/// Parsing is strict: a known algorithm, a colon, exactly the right number of lower-case
/// hexadecimal digits. An [`ErrorKind::InvalidDigest`](crate::ErrorKind::InvalidDigest) says where
/// a text goes wrong.
#[derive(Clone, Copy)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero after `algorithm.output_len()`.
    bytes: [u8; LEN_MAX],
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut digester = Digester::new(Algorithm::Sha256);
        digester.update(bytes);
        digester.finish()
    }

    /// A digest from its bytes; `None` if there are not exactly [`Algorithm::output_len`] of them.
    #[must_use]
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let mut all = [0; LEN_MAX];
        if bytes.len() != algorithm.output_len() {
            return None;
        }
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { algorithm, bytes: all })
    }

    /// The hash function.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.output_len()).unwrap_or_default()
    }

    /// The hash in lower-case hexadecimal digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(2 * self.algorithm.output_len());
        for byte in self.as_bytes() {
            // Writing to a string cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
        }
        text
    }

    /// The first twelve digits, as engines show them.
    #[must_use]
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|(at, reason)| Error::text(DIGEST, text, at, reason))
    }
}

/// A digest, or at which byte the text goes wrong.
pub(crate) fn parse(text: &str) -> Result<Digest, (usize, Reason)> {
    let (name, digits) = text.split_once(':').ok_or((text.len(), Reason::Lacks(':')))?;
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    let algorithm = algorithm.ok_or((0, Reason::UnknownAlgorithm))?;
    let start = name.len() + 1;
    let bad = digits.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if let Some(bad) = bad {
        return Err((start + bad, Reason::NotLowerHex));
    }
    let wanted = 2 * algorithm.output_len();
    if digits.len() != wanted {
        let end = start + digits.len().min(wanted);
        return Err((end, Reason::Digits { wanted, found: digits.len() }));
    }
    let mut bytes = [0; LEN_MAX];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, digit| value << 4 | nibble(*digit));
    }
    Ok(Digest { algorithm, bytes })
}

/// What a digest is called in errors.
pub(crate) const DIGEST: &str = "digest";

/// The value of a lower-case hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Digest {}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Digest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.algorithm, self.as_bytes()).cmp(&(other.algorithm, other.as_bytes()))
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.algorithm, self.as_bytes()).hash(state);
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Computes a digest from bytes as they come.
///
/// Uses the processor's SHA instructions where it has them.
#[derive(Clone, Debug)]
pub struct Digester {
    state: State,
    len: u64,
}

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    // Larger than a page of registers on the other arm; there is one per stream.
    Sha512(sha2::Sha512),
}

impl Digester {
    /// Starts with nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Self { state, len: 0 }
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        // More than 2^64 bytes do not go by in a lifetime.
        self.len = self.len.saturating_add(bytes.len() as u64);
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// How many bytes went by.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no byte went by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The digest of everything.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut bytes = [0; LEN_MAX];
        let algorithm = match self.state {
            State::Sha256(state) => {
                let (head, _) = bytes.split_at_mut(Algorithm::Sha256.output_len());
                head.copy_from_slice(&state.finalize());
                Algorithm::Sha256
            }
            State::Sha512(state) => {
                bytes.copy_from_slice(&state.finalize());
                Algorithm::Sha512
            }
        };
        Digest { algorithm, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_answers() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let mut digester = Digester::new(Algorithm::Sha512);
        digester.update(b"a");
        digester.update(b"bc");
        assert_eq!(digester.len(), 3);
        let digest = digester.finish();
        assert!(digest.hex().starts_with("ddaf35a193617abacc417349ae204131"), "{digest}");
        assert_eq!(digest.to_string().parse::<Digest>().expect("own text"), digest);
    }

    #[test]
    fn errors_say_where() {
        for (text, offset) in [
            ("sha256", 6),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", 0),
            ("SHA256:00", 0),
            ("sha256:../../x", 7),
            ("sha256:00", 9),
            (&EMPTY.replace("e3b0", "e3B0"), 9),
            (&format!("{EMPTY}0"), 71),
            (&EMPTY.replace("sha256", "sha512"), 71),
            ("", 0),
        ] {
            let error = text.parse::<Digest>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidDigest, "{text}");
            assert_eq!(error.offset(), Some(offset), "{error}");
        }
    }

    #[test]
    fn as_json_it_is_its_text() {
        let digest = Digest::of(b"");
        let json = serde_json::to_string(&digest).expect("json");
        assert_eq!(json, format!("\"{EMPTY}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).expect("json"), digest);
        assert!(serde_json::from_str::<Digest>("\"sha256:/etc/passwd\"").is_err());
    }

    #[test]
    fn bytes_of_the_right_length_only() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::from_bytes(Algorithm::Sha256, digest.as_bytes()), Some(digest));
        assert_eq!(Digest::from_bytes(Algorithm::Sha512, digest.as_bytes()), None);
        assert_eq!(digest.short(), "2d711642b726");
    }
}
