//! Layers that are worked on at the same time: how many, what a failure ends, and that order does not depend on who is
//! faster.

mod memory;

use std::fs;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use ampoule_image::destination::Destination;
use ampoule_image::source::{Resolved, Source};
use ampoule_image::store::{Form, Unpacker};
use ampoule_image::unpack::{Unpack, Unpacked};
use ampoule_image::{
    Choice, Compression, Descriptor, Digest, Error, ErrorKind, Event, LayerState, MediaType, Pull,
    Reference, Result, Store, copy,
};
use memory::{Memory, name};

/// Nothing that is waited for here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts those that are at work at the same time.
#[derive(Default)]
struct Crowd {
    /// Now, and at most so far.
    counts: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Crowd {
    /// One more, who waits until there have been so many.
    fn enter(&self, wanted: usize) {
        let mut counts = self.counts.lock().expect("counts");
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        self.changed.notify_all();
        let few = |counts: &mut (usize, usize)| counts.1 < wanted;
        let waited = self.changed.wait_timeout_while(counts, PATIENCE, few).expect("counts").1;
        assert!(!waited.timed_out(), "never {wanted} at the same time");
        // Whoever comes too many comes meanwhile.
        std::thread::sleep(Duration::from_millis(20));
    }

    fn leave(&self) {
        self.counts.lock().expect("counts").0 -= 1;
    }

    fn most(&self) -> usize {
        self.counts.lock().expect("counts").1
    }
}

/// A source whose layers are read by a crowd.
struct Crowded {
    memory: Memory,
    crowd: Crowd,
    wanted: usize,
}

/// A reader that is at work from its first byte until it goes.
struct Worker<'a> {
    of: &'a Crowded,
    reader: Box<dyn Read + Send + 'a>,
    is_in: bool,
}

impl Read for Worker<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.is_in, true) {
            self.of.crowd.enter(self.of.wanted);
        }
        self.reader.read(buffer)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if self.is_in {
            self.of.crowd.leave();
        }
    }
}

impl Source for Crowded {
    fn root(&self) -> Result<Descriptor> {
        self.memory.root()
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let reader = self.memory.open(blob, offset)?;
        if blob.media_type.compression().is_none() {
            return Ok(reader);
        }
        Ok(Box::new(Worker { of: self, reader, is_in: false }))
    }
}

fn layers(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|fill| vec![fill; 10_000]).collect()
}

fn image(layers: &[Vec<u8>]) -> Memory {
    Memory::image(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("directory");
    let store = Store::open(directory.path().join("s")).expect("store");
    (directory, store)
}

#[test]
fn so_many_layers_are_pulled_at_the_same_time_and_no_more() {
    for (jobs, wanted) in [(None, 4), (Some(1), 1), (Some(3), 3), (Some(50), 9)] {
        let (_directory, store) = store();
        let source = Crowded { memory: image(&layers(9)), crowd: Crowd::default(), wanted };
        let pull = jobs.and_then(NonZeroUsize::new).map_or(Pull::new(), |n| Pull::new().jobs(n));
        store.pull(&source, &name("x"), &pull).expect("pull");
        assert_eq!(source.crowd.most(), wanted, "{jobs:?}");
        assert_eq!(store.verify().expect("verify").problems, []);
    }
}

/// A source of which one layer fails as soon as another one is being read, which goes on for ever.
struct Failing {
    memory: Memory,
    fails: Digest,
    crowd: Crowd,
}

/// Some bytes now and then.
struct Endless;

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(5));
        let few = buffer.len().min(10);
        buffer[..few].fill(0);
        Ok(few)
    }
}

impl Source for Failing {
    fn root(&self) -> Result<Descriptor> {
        self.memory.root()
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        if blob.media_type.compression().is_none() {
            return self.memory.open(blob, offset);
        }
        self.memory.reads.lock().expect("reads").push((blob.digest, offset));
        self.crowd.enter(3);
        if blob.digest == self.fails {
            return Err("not a reference!".parse::<Reference>().expect_err("an error to tell"));
        }
        Ok(Box::new(Endless))
    }
}

#[test]
fn a_layer_that_fails_ends_the_others() {
    let (_directory, store) = store();
    let large: Vec<Vec<u8>> = (0..9).map(|fill| vec![fill; 1 << 20]).collect();
    let memory = image(&large);
    let source = Failing { memory, fails: Digest::of(&large[1]), crowd: Crowd::default() };
    let begin = Instant::now();
    let jobs = NonZeroUsize::new(3).expect("three");
    let error = store.pull(&source, &name("x"), &Pull::new().jobs(jobs)).expect_err("it fails");
    // Of the others a whole day would be left.
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::InvalidReference, "what failed is told: {error}");
    let reads = source.memory.reads.lock().expect("reads").clone();
    let opened = large.iter().filter(|one| reads.iter().any(|(id, _)| *id == Digest::of(one)));
    assert_eq!(opened.count(), 3, "no other was begun");
    assert!(store.list().expect("list").is_empty());
    assert_eq!(store.verify().expect("verify").problems, []);
}

/// Unpacks nothing: fails at one layer, and reads the others as slowly as it can.
struct Slow {
    fails: Digest,
    crowd: Crowd,
}

impl Unpacker for Slow {
    fn form(&self) -> Form {
        Form::of("slow")
    }

    fn unpack(
        &self,
        layer: &mut (dyn Read + Send),
        _: (Compression, ampoule_image::Algorithm),
        _: BorrowedFd<'_>,
    ) -> Result<Unpacked> {
        self.crowd.enter(2);
        let mut all = Vec::new();
        let mut byte = [0];
        layer.read_exact(&mut byte).expect("a byte");
        all.push(byte[0]);
        if Digest::of(&vec![byte[0]; 1_000_000]) == self.fails {
            return Err("not a reference!".parse::<Reference>().expect_err("an error to tell"));
        }
        loop {
            std::thread::sleep(Duration::from_millis(5));
            if let Err(error) = layer.read(&mut byte) {
                return Err(Error::from_io(&error).expect("one of ours"));
            }
        }
    }
}

#[test]
fn a_layer_that_cannot_be_unpacked_ends_the_others() {
    let (_directory, store) = store();
    let large: Vec<Vec<u8>> = (0..2).map(|fill| vec![fill; 1_000_000]).collect();
    let image = store.pull(&image(&large), &name("x"), &Pull::new()).expect("pull");
    let slow = Slow { fails: Digest::of(&large[1]), crowd: Crowd::default() };
    let begin = Instant::now();
    let error = store.unpack(&image, &slow, &()).expect_err("it fails");
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::InvalidReference, "what failed is told: {error}");
    let left = fs::read_dir(store.path().join("pending")).expect("pending").count();
    assert_eq!(left, 0, "nothing half is left");
}

/// A layer with one file of this content.
fn layer(content: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "file", content.as_bytes()).expect("a member");
    builder.into_inner().expect("a layer")
}

/// Gives the lowest layer only when all others are unpacked.
struct LowestLast {
    memory: Memory,
    lowest: Digest,
    done: Crowd,
}

impl Source for LowestLast {
    fn root(&self) -> Result<Descriptor> {
        self.memory.root()
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        if blob.digest == self.lowest {
            self.done.enter(3);
        }
        self.memory.open(blob, offset)
    }
}

#[test]
fn the_order_is_the_images_whoever_is_faster() {
    let (_directory, store) = store();
    let contents = ["lowest", "middle", "upper"];
    let tars = contents.map(layer);
    let source =
        LowestLast { memory: image(&tars), lowest: Digest::of(&tars[0]), done: Crowd::default() };
    let order = Mutex::new(Vec::new());
    let watch = |event: &Event| {
        if event.state == LayerState::Done {
            order.lock().expect("order").push(event.layer);
            let mut counts = source.done.counts.lock().expect("counts");
            *counts = (counts.0 + 1, counts.1.max(counts.0 + 1));
            source.done.changed.notify_all();
        }
    };
    let unpack = Unpack::suited();
    let pull = Pull::new().unpack(&unpack).progress(&watch);
    let image = store.pull(&source, &name("x"), &pull).expect("pull");
    assert_eq!(order.into_inner().expect("order").last(), Some(&0), "the lowest came last");
    let layers = image.layers(&unpack.form()).expect("layers");
    let read = |layer: &ampoule_image::Layer| fs::read_to_string(layer.path().join("file"));
    let found = layers.iter().map(|layer| read(layer).expect("the file")).collect::<Vec<_>>();
    assert_eq!(found, contents);
}

/// A destination that takes several blobs at a time.
struct Taking<'a> {
    crowd: &'a Crowd,
    taken: &'a Mutex<Vec<Digest>>,
    fails: Option<Digest>,
}

impl Destination for Taking<'_> {
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        Ok(self.taken.lock().expect("taken").contains(&blob.digest))
    }

    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        let is_layer = blob.media_type != MediaType::Config;
        if is_layer {
            self.crowd.enter(4);
        }
        if self.fails == Some(blob.digest) {
            return Err("not a reference!".parse::<Reference>().expect_err("an error to tell"));
        }
        let mut bytes = [0; 100];
        loop {
            match content.read(&mut bytes) {
                Ok(0) => break,
                Ok(_) if self.fails.is_some() => std::thread::sleep(Duration::from_millis(5)),
                Ok(_) => {}
                Err(error) => return Err(Error::from_io(&error).expect("one of ours")),
            }
        }
        if is_layer {
            self.crowd.leave();
        }
        self.taken.lock().expect("taken").push(blob.digest);
        Ok(())
    }

    fn finish(&mut self, image: &Resolved, _: Option<&Reference>) -> Result<()> {
        let taken = self.taken.lock().expect("taken");
        let all = image.manifest.layers.iter().all(|layer| taken.contains(&layer.digest));
        assert!(all, "the manifest comes last");
        Ok(())
    }

    fn another(&self) -> Option<Box<dyn Destination + Send + '_>> {
        Some(Box::new(Taking { ..*self }))
    }
}

#[test]
fn layers_are_copied_at_the_same_time_where_the_destination_can() {
    let (crowd, taken, many) = (Crowd::default(), Mutex::default(), layers(9));
    let mut destination = Taking { crowd: &crowd, taken: &taken, fails: None };
    copy(&image(&many), &mut destination, None, &Choice::Host, &()).expect("copy");
    assert_eq!(crowd.most(), 4);
    // Each layer once, and the configuration.
    assert_eq!(taken.lock().expect("taken").len(), 10);

    let (crowd, taken) = (Crowd::default(), Mutex::default());
    let large: Vec<Vec<u8>> = (0..9).map(|fill| vec![fill; 1 << 20]).collect();
    let fails = Some(Digest::of(&large[2]));
    let mut destination = Taking { crowd: &crowd, taken: &taken, fails };
    let begin = Instant::now();
    let error = copy(&image(&large), &mut destination, None, &Choice::Host, &());
    let error = error.expect_err("one fails");
    assert_eq!(error.kind(), ErrorKind::InvalidReference, "what failed is told: {error}");
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert!(taken.lock().expect("taken").is_empty());
}
