//! How containers are set up that are started in groups. Touches no kernel object.
//!
//! Invariant: ours and the floor are set up alike.

use crate::configuration::Configuration;

/// The first kernel whose overlay takes descriptors as layers, which the floor of [`Configuration::All`] needs.
const LAYERS_BY_DESCRIPTOR: (u32, u32) = (6, 13);

/// The whole isolation where the floor can make it, else that on a plain directory.
pub fn configuration() -> Configuration {
    let names = rustix::system::uname();
    by_release(&names.release().to_string_lossy())
}

fn by_release(release: &str) -> Configuration {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>());
    let version = (numbers.next(), numbers.next());
    match version {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= LAYERS_BY_DESCRIPTOR => {
            Configuration::All
        }
        _ => Configuration::Directory,
    }
}

#[cfg(test)]
mod tests {
    use super::{Configuration, by_release};

    #[test]
    fn releases() {
        for (release, expected) in [
            ("6.18.44-fc", Configuration::All),
            ("7.0.0", Configuration::All),
            ("6.12.117+deb13-amd64", Configuration::Directory),
            ("5.14.0", Configuration::Directory),
            ("unknown", Configuration::Directory),
        ] {
            assert_eq!(by_release(release), expected, "{release}");
        }
    }
}
