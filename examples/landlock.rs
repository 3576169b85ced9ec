//! Rules of Landlock as words of a command line.
//!
//! Pure. Invariant: a word that is not understood completely is refused.

use ampoule::{Landlock, LandlockScope};

use crate::arguments::Failure;

/// What the words are, for `--help`.
pub const WORDS: &str =
    "read:PATH, exec:PATH, rw:PATH, connect:PORT, bind:PORT, no-tcp, signals, sockets";

/// Adds a rule.
///
/// # Errors
/// A word that is none of [`WORDS`].
pub fn add(rules: Landlock, word: &str) -> Result<Landlock, Failure> {
    let port = |text: &str| text.parse::<u16>().map_err(|_| format!("{word}: no TCP port"));
    Ok(match word.split_once(':') {
        Some(("read", path)) => rules.read(path),
        Some(("exec", path)) => rules.execute(path),
        Some(("rw", path)) => rules.read_write(path),
        Some(("connect", text)) => rules.connect_tcp(port(text)?),
        Some(("bind", text)) => rules.bind_tcp(port(text)?),
        None if word == "no-tcp" => rules.deny_tcp(),
        None if word == "signals" => rules.scope(LandlockScope::Signal),
        None if word == "sockets" => rules.scope(LandlockScope::AbstractUnixSocket),
        _ => return Err(format!("{word}: a rule is one of {WORDS}").into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_rules() {
        let words =
            ["read:/a:b", "exec:/usr", "rw:/tmp", "connect:443", "bind:0", "signals", "sockets"];
        let read = words.iter().try_fold(Landlock::new(), |rules, word| add(rules, word)).unwrap();
        let rules = Landlock::new().read("/a:b").execute("/usr").read_write("/tmp");
        let rules = rules.connect_tcp(443).bind_tcp(0).scope(LandlockScope::Signal);
        assert_eq!(read, rules.scope(LandlockScope::AbstractUnixSocket));
        assert_eq!(add(Landlock::new(), "no-tcp").unwrap(), Landlock::new().deny_tcp());
        for word in ["", "read", "write:/a", "connect:", "bind:65536", "connect:x", "no-tcp:1"] {
            assert!(add(Landlock::new(), word).is_err(), "{word}");
        }
    }
}
