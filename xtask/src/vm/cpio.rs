//! Writing a cpio archive in the format `newc`, as an initramfs has it (the kernel's
//! `initramfs-buffer-format.rst`). Pure. Written here because device nodes in it need no root.

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER: u32 = 0o020_600;

/// An archive that grows.
#[derive(Default)]
pub(super) struct Cpio {
    bytes: Vec<u8>,
    count: u32,
}

impl Cpio {
    /// A directory.
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    /// A file that anybody may execute.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// A symbolic link.
    pub(super) fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, SYMLINK, (0, 0), target.as_bytes());
    }

    /// A character device.
    pub(super) fn device(&mut self, path: &str, numbers: (u32, u32)) {
        self.entry(path, CHARACTER, numbers, &[]);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.count += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let name_length = path.len() + 1;
        self.bytes.extend(b"070701");
        // inode, mode, uid, gid, links, time, size, device's numbers, node's numbers, name, check
        let fields = [self.count, mode, 0, 0, links, 0];
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        let fields = [content.len(), 0, 0].map(|field| format!("{field:08x}"));
        self.bytes.extend(fields.concat().bytes());
        let fields = format!("{:08x}{:08x}{name_length:08x}{:08x}", device.0, device.1, 0);
        self.bytes.extend(fields.bytes());
        self.bytes.extend(path.bytes().chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_header_a_name_and_its_content() {
        let mut cpio = Cpio::default();
        cpio.program("init", b"hello");
        let bytes = cpio.finish();
        let header = "070701000000010000 81ed".replace(' ', "");
        assert!(bytes.starts_with(header.as_bytes()));
        assert_eq!(&bytes[54..62], b"00000005", "the size of the content");
        assert_eq!(&bytes[110..116], b"init\0\0");
        assert_eq!(&bytes[116..121], b"hello");
        assert_eq!(bytes.len() % 4, 0);
    }
}
