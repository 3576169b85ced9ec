//! Random tar streams: the same tree as GNU tar and Python's tarfile make, or a typed error.

mod layers;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use ampoule_image::unpack::{Unpack, Whiteouts};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use layers::tree::{Node, Tree, tree};
use layers::{Archive, Entry, record};

/// One member, with what stands in front of it.
#[derive(Clone, Debug)]
struct Piece {
    kind: u8,
    name: &'static str,
    target: &'static str,
    data: Vec<u8>,
    mode: u32,
    ids: (u64, u64),
    mtime: u64,
    front: Front,
    /// A byte of the header that is overwritten, and the checksum made right again.
    damage: Option<(usize, u8)>,
}

#[derive(Clone, Debug)]
enum Front {
    Nothing,
    Records(Vec<(&'static str, String)>),
    SparseMap,
    SparseContent,
    LongName,
}

const NAMES: &[&str] = &[
    "a",
    "b",
    "c",
    "a/b",
    "a/c",
    "b/a",
    "a/b/c",
    "./c/a",
    "c//b",
    "d/",
    "d/a",
    "with space",
    "\u{e9}",
];

fn piece() -> impl Strategy<Value = Piece> {
    let kind = select(b"00000001223455556\x007".as_slice());
    let text = (select(NAMES), select(NAMES), vec(any::<u8>(), 0..1500));
    let ids = (0..70_000_u64, 0..70_000_u64);
    let numbers = (0..0o10000_u32, ids, 0..2_000_000_000_u64);
    let damage = weighted(0.1, (0..512_usize, any::<u8>()));
    (kind, text, numbers, front(), damage).prop_map(|(kind, text, numbers, front, damage)| Piece {
        kind,
        name: text.0,
        target: text.1,
        data: if matches!(kind, b'0' | b'7' | 0) { text.2 } else { Vec::new() },
        mode: numbers.0,
        ids: numbers.1,
        mtime: numbers.2,
        front,
        damage,
    })
}

fn front() -> impl Strategy<Value = Front> {
    let value =
        select(["0", "7", "12", "1700000000.25", "-3.5", "", "1.123456789", "99999"].as_slice());
    let keys =
        ["path", "linkpath", "uid", "gid", "mtime", "size", "comment", "SCHILY.xattr.user.a"];
    let named = (select(["path", "linkpath"].as_slice()), select(NAMES));
    let record = prop_oneof![
        (select(keys.to_vec()), value).prop_map(|(key, value)| (key, value.to_owned())),
        named.prop_map(|(key, value)| (key, value.to_owned())),
    ];
    prop_oneof![
        6 => Just(Front::Nothing),
        3 => vec(record, 0..3).prop_map(Front::Records),
        1 => Just(Front::SparseMap),
        1 => Just(Front::SparseContent),
        1 => Just(Front::LongName),
    ]
}

impl Piece {
    fn add(&self, archive: Archive) -> Archive {
        let len = self.data.len();
        let realsize = (len + 5000).to_string();
        let (archive, data) = match &self.front {
            Front::Nothing => (archive, self.data.clone()),
            Front::Records(records) => {
                let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
                (archive.raw_pax(b'x', text.as_bytes()), self.data.clone())
            }
            Front::SparseMap => {
                let map = format!("4096,{len},{realsize},0");
                let records = [
                    ("GNU.sparse.size", realsize.as_str()),
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.map", &map),
                ];
                (archive.pax(&records), self.data.clone())
            }
            Front::SparseContent => {
                let mut data = format!("2\n4096\n{len}\n{realsize}\n0\n").into_bytes();
                data.resize(512, 0);
                let records = [
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.name", self.name),
                    ("GNU.sparse.realsize", &realsize),
                ];
                (archive.pax(&records), [data, self.data.clone()].concat())
            }
            Front::LongName => {
                let data = format!("{}/{}\0", "long".repeat(30), self.name);
                let name = b"././@LongLink";
                let entry = Entry { kind: b'L', name, data: data.as_bytes(), ..Entry::default() };
                (archive.entry(&entry), self.data.clone())
            }
        };
        let start = archive.0.len();
        let mut archive = archive.entry(&Entry {
            kind: self.kind,
            name: self.name.as_bytes(),
            link: self.target.as_bytes(),
            mode: self.mode,
            ids: self.ids,
            mtime: self.mtime,
            device: (1, 3),
            size: None,
            data: &data,
        });
        if let Some((at, byte)) = self.damage {
            let mut header = tar::Header::new_old();
            header.as_mut_bytes().copy_from_slice(&archive.0[start..start + 512]);
            header.as_mut_bytes()[at] = byte;
            header.set_cksum();
            archive.0[start..start + 512].copy_from_slice(header.as_bytes());
        }
        archive
    }
}

/// Whether `program`, which reads a tar file and writes into the directory that is its last
/// argument, is content with the stream.
fn extract(mut program: Command, layer: &[u8], directory: &Path) -> bool {
    program.arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("the other program");
    let mut input = child.stdin.take().expect("piped");
    // It may have seen enough: then its exit status says so.
    drop(input.write_all(layer));
    drop(input);
    let output = child.wait_with_output().expect("the other program");
    output.status.success() && output.stderr.is_empty()
}

impl Compared {
    fn program(self) -> Command {
        match self {
            Self::ByGnuTar => gnu_tar(),
            Self::ByPython => python(),
        }
    }
}

fn gnu_tar() -> Command {
    let mut command = Command::new("sh");
    let script =
        "umask 022; exec tar --numeric-owner --xattrs --xattrs-include='user.*' -xpf - -C \"$0\"";
    command.args(["-c", script]);
    command
}

fn python() -> Command {
    let script = "
import os, sys, tarfile
os.umask(0o22)
with tarfile.open(fileobj=sys.stdin.buffer, mode='r|', errorlevel=2) as archive:
    kwargs = {'filter': 'fully_trusted'} if hasattr(tarfile, 'fully_trusted_filter') else {}
    archive.extractall(sys.argv[1], numeric_owner=True, **kwargs)
";
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    command
}

/// What is compared: times of directories depend on who is written last, and attributes of
/// directories that come twice are ours alone to clear; Python sets neither attributes nor the
/// times of links.
fn comparable(tree: Tree, compared: Compared) -> Tree {
    let visible = |(name, mut node): (Vec<u8>, Node)| {
        let (is_directory, is_link) =
            (node.mode & 0o170_000 == 0o040_000, node.mode & 0o170_000 == 0o120_000);
        let timeless = is_directory || is_link && compared == Compared::ByPython;
        let mtime = if timeless { (0, 0) } else { node.mtime };
        let keep = compared == Compared::ByGnuTar && !is_directory;
        if node.content.len() > 100 {
            node.content = ampoule_image::Digest::of(&node.content).to_string().into_bytes();
        }
        let attributes = if keep { node.attributes.clone() } else { Default::default() };
        (name, Node { mtime, attributes, ..node })
    };
    tree.into_iter().filter(|(name, _)| !name.is_empty()).map(visible).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    ByGnuTar,
    ByPython,
}

/// Ours and theirs, where both are content.
fn trees(layer: &[u8], compared: Compared) -> Option<(Tree, Tree)> {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    for path in [&ours, &theirs] {
        fs::create_dir(path).expect("a directory");
    }
    let mut options = Unpack::default();
    options.whiteouts = Whiteouts::Applied;
    let root = File::open(&ours).expect("a directory");
    options.apply(layer, root.as_fd()).ok()?;
    let same = extract(compared.program(), layer, &theirs);
    let both = || (comparable(tree(&ours), compared), comparable(tree(&theirs), compared));
    let (ours, mut theirs) = same.then(both)?;
    for (name, node) in &mut theirs {
        if ours.get(name).is_some_and(|ours| inherited(ours, node)) {
            (node.mode, node.owner) = (IMPLIED, (0, 0));
        }
    }
    Some((ours, theirs))
}

/// What a directory has that no member names.
const IMPLIED: u32 = 0o040_755;

/// Whether they left a directory that no member names what the kernel hands down from a
/// set-group-ID parent; ours is the same wherever it stands.
fn inherited(ours: &Node, theirs: &Node) -> bool {
    let implied = (ours.mode, ours.owner) == (IMPLIED, (0, 0));
    implied && theirs.mode == IMPLIED | 0o2000 && theirs.owner.0 == 0
}

fn archive(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().fold(Archive::new(), |archive, piece| piece.add(archive)).end()
}

#[test]
fn programs_agree_on_a_plain_archive() {
    let layer = Archive::new().dir("d").file("d/f", "x").symlink("d/l", "f").link("h", "d/f").end();
    for compared in [Compared::ByGnuTar, Compared::ByPython] {
        let (ours, theirs) = trees(&layer, compared).expect("all content");
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 4);
    }
}

/// Random archives; enough of them have to be to everybody's liking, or nothing was compared.
fn agree(compared: Compared, cases: u32, pieces: impl Strategy<Value = Vec<Piece>>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let both = Cell::new(0);
    let result = TestRunner::new(config).run(&pieces, |pieces| {
        if let Some((ours, theirs)) = trees(&archive(&pieces), compared) {
            both.set(both.get() + u32::from(!ours.is_empty()));
            prop_assert_eq!(ours, theirs);
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(both.get() * 10 >= cases, "only {} of {cases} were compared", both.get());
}

fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").map_or(usual, |cases| cases.parse().expect("a number"))
}

/// Their parents hand the bit and the group down to what no member names.
#[test]
fn a_directory_between_is_the_same_wherever_it_stands() {
    let entry = Entry { kind: b'5', name: b"d", mode: 0o2755, ids: (3, 4), ..Entry::default() };
    let layer = Archive::new().entry(&entry).file("d/between/f", "x").end();
    for compared in [Compared::ByGnuTar, Compared::ByPython] {
        let (ours, theirs) = trees(&layer, compared).expect("all content");
        assert_eq!(ours, theirs);
        let between = &ours[b"d/between".as_slice()];
        assert_eq!((between.mode, between.owner), (IMPLIED, (0, 0)));
    }
}

#[test]
fn the_same_tree_as_gnu_tar() {
    agree(Compared::ByGnuTar, cases(300), vec(piece(), 0..6));
}

#[test]
fn the_same_tree_as_python() {
    // It writes through what is there already, so that no name may come twice.
    let once = |pieces: Vec<Piece>| {
        let mut seen = BTreeSet::new();
        pieces.into_iter().filter(|piece| seen.insert(piece.name)).collect()
    };
    agree(Compared::ByPython, cases(60), vec(piece(), 0..5).prop_map(once));
}
