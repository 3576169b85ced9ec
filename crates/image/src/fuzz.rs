//! The pure parsers of this crate behind one shape, for the fuzz targets. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes any of these panic, and what is accepted is
//! written so that it is accepted again as the same.

pub mod layer;

use crate::containerfile::{Containerfile, Ignore, Instruction};
use crate::platform::{Choice, Platform};
use crate::{Configuration, Digest, Document, MediaType, Reference};

/// A reference: its normalised and its familiar form name the same.
pub fn reference(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Reference>() {
        Ok(reference) => {
            assert_eq!(reference.to_string().parse().as_ref(), Ok(&reference));
            assert_eq!(reference.familiar().parse().as_ref(), Ok(&reference));
            assert_eq!(reference.or_latest().or_latest(), reference.or_latest());
            assert!(reference.name().bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(reference.repository().split('/').all(|part| !part.starts_with('.')));
        }
        Err(error) => assert!(error.offset().is_some_and(|offset| offset <= text.len())),
    }
}

/// A digest has one text only.
pub fn digest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Digest>() {
        Ok(digest) => assert_eq!(digest.to_string(), text),
        Err(error) => assert!(error.offset().is_some_and(|offset| offset <= text.len())),
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert!(platform.rank(&platform).is_some());
        assert_eq!(platform.to_string().parse::<Platform>(), Ok(platform));
    }
}

/// A manifest or an index, by every media type by which it could have been found.
pub fn manifest(data: &[u8]) {
    let declared = [MediaType::Manifest, MediaType::DockerManifest, MediaType::Index];
    for declared in declared.iter().map(Some).chain([None]) {
        if let Ok(Document::Manifest(manifest)) = Document::parse(data, declared) {
            let bytes = manifest.to_bytes().unwrap_or_default();
            let again = Document::parse(&bytes, Some(&manifest.media_type));
            assert_eq!(again, Ok(Document::Manifest(manifest)));
        }
    }
}

/// An index, from which an image is chosen.
pub fn index(data: &[u8]) {
    let Ok(Document::Index(index)) = Document::parse(data, None) else { return };
    let bytes = index.to_bytes().unwrap_or_default();
    let again = Document::parse(&bytes, Some(&index.media_type));
    assert_eq!(again, Ok(Document::Index(index.clone())));
    let arm = Choice::Platform(Platform::new("linux", "arm"));
    for choice in [Choice::Host, Choice::Any, arm] {
        if let Ok(chosen) = index.choose(&choice) {
            assert!(index.manifests.contains(chosen));
        }
    }
}

/// A configuration.
pub fn config(data: &[u8]) {
    let Ok(config) = Configuration::parse(data) else { return };
    let bytes = config.to_bytes().unwrap_or_default();
    let again = Configuration::parse(&bytes);
    // Fractions in keys that are not known may lose their last bit.
    let known = again.as_ref().map(|again| (&again.rootfs, &again.history, &again.config.env));
    assert_eq!(known, Ok((&config.rootfs, &config.history, &config.config.env)));
    let platform = again.as_ref().map(|again| again.platform.platform());
    assert_eq!(platform, Ok(config.platform.platform()));
}

/// A build file, its words with variables and without, and the same bytes as a list of what is left out.
pub fn containerfile(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    match Containerfile::from_bytes(data) {
        Ok(file) => {
            assert!(!file.stages.is_empty());
            for located in file.stages.iter().flat_map(|stage| &stage.instructions) {
                assert!((1..=lines).contains(&located.line));
                words(&located.instruction);
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.line() <= lines);
                assert!(!problem.to_string().is_empty());
            }
        }
    }
    let text = String::from_utf8_lossy(data);
    let Ok(ignore) = Ignore::parse(&text) else { return };
    for path in ["a", "a/b", ".git/config", ""].into_iter().chain(text.lines()) {
        // Nothing is left out without a pattern that says so.
        assert!(!ignore.excludes(path) || !text.is_empty());
    }
}

/// Expands the words of an instruction.
fn words(instruction: &Instruction) {
    let words: Vec<_> = match instruction {
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            pairs.iter().flat_map(|(name, value)| [name, value]).collect()
        }
        Instruction::Expose(words) | Instruction::Volume(words) => words.iter().collect(),
        Instruction::User(word) | Instruction::Workdir(word) | Instruction::StopSignal(word) => {
            vec![word]
        }
        Instruction::Copy(copy) | Instruction::Add(copy) => {
            let options = copy.from.iter().chain(&copy.owner).chain(&copy.mode);
            options.chain(&copy.exclude).chain([&copy.destination]).collect()
        }
        Instruction::Arg(arguments) => {
            arguments.iter().filter_map(|one| one.default.as_ref()).collect()
        }
        _ => Vec::new(),
    };
    for word in words {
        for value in [None, Some(String::new()), Some("$a/*.x\\".to_owned())] {
            // That a word has no value is one of its values.
            drop(word.expand(&|_| value.clone()));
        }
    }
}
