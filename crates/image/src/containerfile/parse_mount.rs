//! The value of `RUN --mount` from its text.
//!
//! Kernel objects: none. Invariant: an option that its type does not have is an error, never dropped.

use super::expand::Word;
use super::parse::value;
use super::problem::ProblemKind;
use super::run_mount::{
    CACHE_MODE, MountAccess, Need, RunMount, RunMountKind, SECRET_MODE, Sharing,
};

/// A mount: `type=cache,target=/root/.cache`.
pub(super) fn mount(text: &str, escape: char) -> Result<RunMount, ProblemKind> {
    let mut fields = Fields::read(text)?;
    let kind = fields.take(&["type"])?.unwrap_or_else(|| "bind".to_owned());
    let mount = match kind.as_str() {
        "bind" => bind(&mut fields, escape)?,
        "cache" => cache(&mut fields, escape)?,
        "tmpfs" => tmpfs(&mut fields, escape)?,
        "secret" => secret(&mut fields, escape)?,
        "ssh" => return Err(unsupported("ssh", None)),
        other => return Err(value("the type of a mount", other)),
    };
    match fields.0.first() {
        Some((option, _)) => {
            Err(ProblemKind::MountOption { kind: mount.kind.name(), option: option.clone() })
        }
        None => Ok(mount),
    }
}

fn bind(fields: &mut Fields, escape: char) -> Result<RunMount, ProblemKind> {
    let target = Some(fields.target(escape)?);
    let from = fields.word(&["from"], escape)?;
    let source = fields.word(&["source", "src"], escape)?;
    let access = fields.access(MountAccess::ReadOnly)?;
    Ok(RunMount::new(target, RunMountKind::Bind { from, source, access }))
}

fn cache(fields: &mut Fields, escape: char) -> Result<RunMount, ProblemKind> {
    fields.refuse("cache", &["from", "source", "src", "uid", "gid"])?;
    let target = Some(fields.target(escape)?);
    let id = fields.word(&["id"], escape)?;
    let sharing = match fields.take(&["sharing"])?.as_deref() {
        None | Some("shared") => Sharing::Shared,
        Some("locked") => Sharing::Locked,
        Some("private") => return Err(unsupported("cache", Some("sharing=private"))),
        Some(other) => return Err(value("the sharing of a cache", other)),
    };
    let access = fields.access(MountAccess::ReadWrite)?;
    let mode = fields.mode(CACHE_MODE)?;
    Ok(RunMount::new(target, RunMountKind::Cache { id, sharing, access, mode }))
}

fn tmpfs(fields: &mut Fields, escape: char) -> Result<RunMount, ProblemKind> {
    let target = Some(fields.target(escape)?);
    let size = fields.take(&["size"])?.map(|text| size(&text)).transpose()?;
    Ok(RunMount::new(target, RunMountKind::Tmpfs { size }))
}

fn secret(fields: &mut Fields, escape: char) -> Result<RunMount, ProblemKind> {
    fields.refuse("secret", &["uid", "gid", "env"])?;
    let target = fields.word(&TARGET, escape)?;
    let id = fields.word(&["id"], escape)?;
    if id.is_none() && target.is_none() {
        return Err(ProblemKind::Arguments { instruction: "RUN", wanted: "a secret with an id" });
    }
    let need = match fields.flag(&["required"])? {
        Some(true) => Need::Required,
        _ => Need::Optional,
    };
    let mode = fields.mode(SECRET_MODE)?;
    Ok(RunMount::new(target, RunMountKind::Secret { id, need, mode }))
}

/// The names of the target.
const TARGET: [&str; 3] = ["target", "dst", "destination"];

/// The options of a mount, each with its value.
struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    /// Splits at commas outside of quotation marks.
    fn read(text: &str) -> Result<Self, ProblemKind> {
        let mut fields = vec![String::new()];
        let mut open = None;
        for c in text.chars() {
            match (c, open) {
                (',', None) => {
                    fields.push(String::new());
                    continue;
                }
                ('"' | '\'', None) => open = Some(c),
                (c, Some(mark)) if c == mark => open = None,
                _ => {}
            }
            fields.last_mut().into_iter().for_each(|field| field.push(c));
        }
        if let Some(mark) = open {
            return Err(ProblemKind::Quote(mark));
        }
        if let Some(empty) = fields.iter().find(|field| field.is_empty()) {
            return Err(value("an option of a mount", empty));
        }
        Ok(Self(fields.iter().map(|field| split(field)).collect()))
    }

    /// The value of an option that has these names and is there at most once.
    fn take(&mut self, names: &[&str]) -> Result<Option<String>, ProblemKind> {
        let mut taken = self.0.extract_if(.., |(name, _)| names.contains(&name.as_str()));
        match (taken.next(), taken.next()) {
            (None, _) => Ok(None),
            (Some((_, Some(text))), None) if !text.is_empty() => Ok(Some(text)),
            (Some((name, _)), _) => Err(ProblemKind::Option(name)),
        }
    }

    fn word(&mut self, names: &[&str], escape: char) -> Result<Option<Word>, ProblemKind> {
        Ok(self.take(names)?.map(|text| Word::new(text, escape)))
    }

    fn target(&mut self, escape: char) -> Result<Word, ProblemKind> {
        let wanted = "a target for each mount";
        let missing = ProblemKind::Arguments { instruction: "RUN", wanted };
        self.word(&TARGET, escape)?.ok_or(missing)
    }

    /// An option without value, or with `true` or `false`.
    fn flag(&mut self, names: &[&str]) -> Result<Option<bool>, ProblemKind> {
        let mut taken = self.0.extract_if(.., |(name, _)| names.contains(&name.as_str()));
        match (taken.next(), taken.next()) {
            (None, _) => Ok(None),
            (Some((name, text)), None) => match text.as_deref() {
                None | Some("true") => Ok(Some(true)),
                Some("false") => Ok(Some(false)),
                Some(_) => Err(ProblemKind::Option(name)),
            },
            (Some((name, _)), _) => Err(ProblemKind::Option(name)),
        }
    }

    fn access(&mut self, usual: MountAccess) -> Result<MountAccess, ProblemKind> {
        let write = self.flag(&["rw", "readwrite"])?;
        let read = self.flag(&["ro", "readonly"])?;
        match (write, read) {
            (None, None) => Ok(usual),
            (Some(true), None) | (None, Some(false)) => Ok(MountAccess::ReadWrite),
            (Some(false), None) | (None, Some(true)) => Ok(MountAccess::ReadOnly),
            (Some(_), Some(_)) => Err(ProblemKind::Option("readonly".to_owned())),
        }
    }

    fn mode(&mut self, usual: u32) -> Result<u32, ProblemKind> {
        let Some(text) = self.take(&["mode"])? else { return Ok(usual) };
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| mode & !0o7777 == 0);
        mode.ok_or_else(|| value("a mode in octal", &text))
    }

    /// Options that exist elsewhere and cannot be done here.
    fn refuse(&self, kind: &str, options: &[&str]) -> Result<(), ProblemKind> {
        let refused = self.0.iter().find(|(name, _)| options.contains(&name.as_str()));
        refused.map_or(Ok(()), |(name, _)| Err(unsupported(kind, Some(name))))
    }
}

/// `name=value`; the quotation marks around all of it mean nothing.
fn split(field: &str) -> (String, Option<String>) {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.unwrap_or(field).split_once('=') {
        Some((name, text)) => (name.to_ascii_lowercase(), Some(text.to_owned())),
        None => (inner.unwrap_or(field).to_ascii_lowercase(), None),
    }
}

fn unsupported(kind: &str, option: Option<&str>) -> ProblemKind {
    let what = match option {
        Some(option) => format!("--mount=type={kind},{option}"),
        None => format!("--mount=type={kind}"),
    };
    ProblemKind::Unsupported { instruction: "RUN", what }
}

/// Bytes, with a unit of 1024 if one is there: `64m`.
fn size(text: &str) -> Result<u64, ProblemKind> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let factor = match unit {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1_u64 << 30),
        "t" | "tb" | "tib" => Some(1_u64 << 40),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(n, f)| n.checked_mul(f));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| value("a size in bytes", text))
}
