//! The host's programs and libraries, without its data and secrets.
//!
//! Kernel objects: none beyond looking at the host's files. Invariant: an allow-list; only what is on it and readable
//! by everybody can appear, so that a privileged host shows no more than an ordinary user sees.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::file::{File, Link};
use crate::mount::Mount;

/// What of the host's top directory is shown; links such as `/bin` stay links.
const TOP: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What of `/etc` is shown: what the C library, TLS libraries and alternatives need to work at all.
///
/// Not here: `/etc/terminfo` (empty where `/usr/share/terminfo` is complete), `/etc/resolv.conf` (there is no
/// network), anything with keys, and everything that configures the host's own services.
const ETC: [&str; 14] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "group",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "passwd",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "ssl/certs",
    "ssl/openssl.cnf",
];

/// Files up to this many bytes are copied: a copy takes fewer system calls than a bind mount, and it outlives the file,
/// which a package manager replaces while plans are in use (`ldconfig` does with every library).
const COPIED: u64 = 256 << 10;
/// How much fits into `/tmp`, in bytes.
const TMP: u64 = 64 << 20;
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// What goes into an empty root to see the host's programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostView {
    /// Bind mounts, read-only, and `/tmp`.
    pub mounts: Vec<Mount>,
    /// Links as they are on the host.
    pub links: Vec<Link>,
    /// Small files as they are now, and a generated `/etc/hosts`.
    pub files: Vec<File>,
}

/// The view of the host whose top directory is `root` (`/`).
///
/// Shown are `/usr`, `/bin`, `/sbin`, `/lib*` and a few files of `/etc`, as far as they exist; never `/etc/shadow`,
/// host keys, `/run`, `/var`, `/home` or `/root`. What cannot be read by everybody is left out. `/tmp` is memory of
/// 64 MiB; `/var/tmp` is a link to it.
#[must_use]
pub fn host_view(root: &Path) -> HostView {
    let mut view = HostView::default();
    TOP.iter().for_each(|name| view.show(root, name));
    ETC.iter().for_each(|name| view.show(root, &format!("etc/{name}")));
    view.files.push(File::new("/etc/hosts", HOSTS, 0o644));
    view.mounts.push(Mount::tmpfs("/tmp", TMP));
    view.links.push(Link::new("/var/tmp", "/tmp"));
    view
}

impl HostView {
    /// Shows one path as what it is on the host.
    fn show(&mut self, root: &Path, name: &str) {
        let (source, target) = (root.join(name), Path::new("/").join(name));
        let Ok(found) = source.symlink_metadata() else {
            return;
        };
        let public = found.permissions().mode() & 0o004 != 0;
        if found.is_symlink() {
            self.links.extend(source.read_link().ok().map(|says| Link::new(target, says)));
        } else if found.is_dir() && public {
            self.mounts.push(Mount::bind(source, target));
        } else if found.is_file() && public {
            self.show_file(&source, &target, found.len());
        }
    }

    fn show_file(&mut self, source: &Path, target: &Path, len: u64) {
        if len > COPIED {
            self.mounts.push(Mount::bind(source, target));
        } else if let Ok(bytes) = std::fs::read(source) {
            self.files.push(File::new(target, bytes, 0o644));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_is_on_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["usr/lib", "etc/ssl/private", "etc/ssl/certs", "home", "var", "lib64"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/usr/share/zoneinfo/UTC", root.join("etc/localtime")).unwrap();
        fs::write(root.join("etc/shadow"), "secret").unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        fs::write(root.join("etc/ld.so.cache"), vec![0; 20 << 10]).unwrap();
        fs::write(root.join("etc/ld.so.conf"), vec![0; 300 << 10]).unwrap();
        fs::write(root.join("etc/group"), "private").unwrap();
        fs::set_permissions(root.join("etc/group"), PermissionsExt::from_mode(0o600)).unwrap();
        let view = host_view(root);
        let mounts: Vec<_> = view.mounts.iter().map(|m| m.target.to_str().unwrap()).collect();
        assert_eq!(mounts, ["/usr", "/lib64", "/etc/ld.so.conf", "/etc/ssl/certs", "/tmp"]);
        let files: Vec<_> = view.files.iter().map(|f| f.path.to_str().unwrap()).collect();
        assert_eq!(files, ["/etc/ld.so.cache", "/etc/passwd", "/etc/hosts"]);
        let link = |path: &str, says: &str| Link::new(path, says);
        assert_eq!(
            view.links,
            [
                link("/lib", "usr/lib"),
                link("/etc/localtime", "/usr/share/zoneinfo/UTC"),
                link("/var/tmp", "/tmp")
            ]
        );
    }
}
