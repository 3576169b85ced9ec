//! The parsers of this crate, for the fuzz targets. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes these panic, and time and memory stay bounded.

use crate::cgroups_path::CgroupsPath;
use crate::document::Document;
use crate::mount_options::MountOptions;

/// A configuration: what is read is written, and reads back the same; what is refused says where.
pub fn config(data: &[u8]) {
    match Document::parse(data) {
        Ok(document) => {
            let Ok(json) = document.to_json() else { return };
            let again = Document::parse(json.as_bytes());
            assert_eq!(again.as_ref(), Ok(&document), "{json}");
            assert_eq!(document.validate().is_ok(), Document::check(data).is_ok());
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.problems().iter().all(|problem| problem.position.is_some()));
        }
    }
}

/// Mount options, one on each line, and the path of a group: what is understood is written, and reads back the same.
pub fn mount_options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = MountOptions::parse(text.lines());
    assert_eq!(MountOptions::parse(options.to_options()), options);
    if let Ok(path) = text.parse::<CgroupsPath>() {
        assert_eq!(path.to_string().parse(), Ok(path));
    }
}
