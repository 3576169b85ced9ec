//! The values of the command line's options.
//!
//! Pure. Invariant: what is not understood completely is refused.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use ampoule::seccomp::Profile;
use ampoule::{
    Bytes, IdMap, IdMapping, IdRange, IoDevice, Max, Mount, Namespace, Relabel, Root, Seccomp,
    Selinux, Setting, Target,
};
use ampoule_examples::arguments::{self, Failure};
use ampoule_examples::volume::{Access, Volume};

/// Size of a `--tmpfs` where none is given.
const TMPFS: Bytes = Bytes::mib(64);

/// `ro`, `ephemeral`, `inplace`, or a directory.
pub(crate) fn root(text: OsString) -> Root {
    match text.to_str() {
        Some("ro") => Root::ReadOnly,
        Some("ephemeral") => Root::Ephemeral { size: ampoule::Builder::EPHEMERAL_SIZE.get() },
        Some("inplace") => Root::InPlace,
        _ => Root::Persistent(text.into()),
    }
}

/// `default`, `unconfined`, or a file with a profile.
pub(crate) fn seccomp(text: OsString) -> Result<Seccomp, Failure> {
    match text.to_str() {
        Some("default") => Ok(Seccomp::Default),
        Some("unconfined") => Ok(Seccomp::Unconfined),
        _ => {
            let json = std::fs::read(&text);
            let json = json.map_err(|error| format!("--seccomp {}: {error}", text.display()))?;
            Ok(Profile::from_json(&json)?.into())
        }
    }
}

/// A context, or `disable`.
pub(crate) fn selinux(text: &str) -> Result<Selinux, Failure> {
    Ok(match text {
        "disable" => Selinux::Disabled,
        _ => Selinux::Label(Box::new(text.parse()?)),
    })
}

/// `SRC:DST[:HOW]`, read-only unless it is said otherwise.
pub(crate) fn bind(text: &OsStr) -> Result<(Mount, Option<Relabel>), Failure> {
    let volume = Volume::parse("bind", text)?;
    Ok((volume.mount(Access::ReadOnly), volume.relabel))
}

/// `DIR[:SIZE]`.
pub(crate) fn tmpfs(text: &str) -> Result<Mount, Failure> {
    let (target, size) = match text.split_once(':') {
        Some((target, size)) => (target, bytes(size)?),
        None => (text, TMPFS),
    };
    Ok(Mount::tmpfs(target, size.get()))
}

/// A number with K, M or G after it, binary units.
fn bytes(text: &str) -> Result<Bytes, Failure> {
    let split = |unit| text.strip_suffix(unit);
    let (number, unit): (&str, fn(u64) -> Bytes) = match (split("K"), split("M"), split("G")) {
        (Some(number), _, _) => (number, Bytes::kib),
        (_, Some(number), _) => (number, Bytes::mib),
        (_, _, Some(number)) => (number, Bytes::gib),
        _ => (text, Bytes::new),
    };
    let number = number.parse().map_err(|_| format!("{text}: a size is a number and K, M or G"))?;
    Ok(unit(number))
}

/// `PID:NS[,NS]`.
pub(crate) fn join(text: &str) -> Result<Vec<(Namespace, Setting)>, Failure> {
    let wanted = || format!("{text}: --join takes PID:NS or PID:NS,NS");
    let (pid, kinds) = text.split_once(':').ok_or_else(wanted)?;
    let target = Setting::Join(Target::Pid(pid.parse().map_err(|_| wanted())?));
    kinds.split(',').map(|kind| Ok((kind.parse()?, target.clone()))).collect()
}

/// `auto`, `subids`, `identity`, or `INSIDE:OUTSIDE:COUNT`, and another such for groups that differ.
pub(crate) fn id_mapping(text: &str) -> Result<IdMapping, Failure> {
    Ok(match text {
        "auto" => IdMapping::Auto,
        "subids" => IdMapping::SubIds,
        "identity" => IdMapping::Explicit(IdMap::identity()),
        _ => {
            let (users, groups) = text.split_once(',').unwrap_or((text, text));
            let wrong = || format!("{text}: --map takes INSIDE:OUTSIDE:COUNT");
            let range = |text| id_range(text).ok_or_else(wrong);
            IdMapping::Explicit(IdMap { uid: vec![range(users)?], gid: vec![range(groups)?] })
        }
    })
}

fn id_range(text: &str) -> Option<IdRange> {
    let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
    match numbers.ok()?.as_slice() {
        [inside, outside, count] => Some(IdRange::new(*inside, *outside, *count)),
        _ => None,
    }
}

/// `DEVICE:LIMIT=VALUE[,LIMIT=VALUE]`, the device as a path or as `MAJ:MIN`.
pub(crate) fn io(text: &str) -> Result<IoDevice, Failure> {
    let wanted = || format!("{text}: --io takes DEVICE:LIMIT=VALUE[,LIMIT=VALUE]");
    let (device, limits) = text.rsplit_once(':').ok_or_else(wanted)?;
    let numbers = device.split_once(':').map(|(major, minor)| (major.parse(), minor.parse()));
    let device = match numbers {
        Some((Ok(major), Ok(minor))) => IoDevice::new(major, minor),
        _ => IoDevice::at(device)?,
    };
    limits.split(',').try_fold(device, |device, limit| {
        let (name, value) = limit.split_once('=').ok_or_else(wanted)?;
        Ok(match name {
            "rbps" => device.read_bps(value.parse::<Max<Bytes>>()?),
            "wbps" => device.write_bps(value.parse::<Max<Bytes>>()?),
            "riops" => device.read_iops(value.parse::<Max<u64>>()?),
            "wiops" => device.write_iops(value.parse::<Max<u64>>()?),
            "weight" => device.weight(value.parse()?),
            "latency" => device.latency(value.parse()?),
            _ => return Err(format!("{text}: there is no limit {name} (see --help)").into()),
        })
    })
}

/// `NAME=VALUE`, or `NAME` alone.
pub(crate) fn variable<T>(text: &OsStr, make: fn(OsString, Option<OsString>) -> T) -> T {
    let (name, value) = arguments::variable(text);
    make(name.to_owned(), value.map(OsStr::to_owned))
}

/// Seconds, with a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, Failure> {
    let parsed: Option<f64> = text.parse().ok();
    let limit = parsed.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit.ok_or_else(|| format!("{text}: a time limit is a number of seconds").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!(bytes("4K").unwrap(), Bytes::kib(4));
        assert_eq!(bytes("17").unwrap(), Bytes::new(17));
        assert_eq!(seconds("0.25").unwrap(), Duration::from_millis(250));
        for wrong in ["", "K", "-1", "1T", "1.5G"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "-1", "nan", "1e99", "1s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mounts_of_the_command_line() {
        let bound = |text: &str| bind(OsStr::new(text)).unwrap();
        let (read, write) = (Mount::bind("/a", "/b"), Mount::bind_rw("/a", "/b"));
        assert_eq!(bound("/a:/b"), (read.clone(), None));
        assert_eq!(bound("/a:/b:ro"), (read.clone(), None));
        assert_eq!(bound("/a:/b:rw"), (write.clone(), None));
        assert_eq!(bound("/a:/b:Z"), (read.clone(), Some(Relabel::Private)));
        assert_eq!(bound("/a:/b:z,ro"), (read, Some(Relabel::Shared)));
        assert_eq!(bound("/a:/b:rw,Z"), (write, Some(Relabel::Private)));
        assert_eq!(tmpfs("/t:1M").unwrap(), Mount::tmpfs("/t", 1 << 20));
        for wrong in
            ["/a", "/a:/b:rx", "/a:/b:rw:x", "/a:/b:", "/a:/b:rw,ro", "/a:/b:z,Z", "/a:/b:rw,"]
        {
            assert!(bind(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels() {
        assert_eq!(selinux("disable").unwrap(), Selinux::Disabled);
        let label: ampoule::SelinuxContext = "u:r:t:s0:c1,c2".parse().unwrap();
        assert_eq!(selinux("u:r:t:s0:c1,c2").unwrap(), Selinux::Label(Box::new(label)));
        assert!(selinux("enforcing").is_err());
    }

    #[test]
    fn limits_of_devices() {
        let wanted = IoDevice::new(7, 0).read_bps(Bytes::mib(10)).write_iops(Max::Max);
        assert_eq!(io("7:0:rbps=10m,wiops=max").unwrap(), wanted);
        for wrong in [
            "7:0",
            "7:0:",
            "7:0:rbps",
            "7:0:rbps=x",
            "7:0:bps=1",
            "/dev/null:rbps=1m",
            "/dev/there-is-none:rbps=1m",
            "7:x:rbps=1m",
        ] {
            assert!(io(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn maps_and_variables() {
        let range = IdMapping::Explicit(IdMap::range(0, 1000, 1));
        assert_eq!(id_mapping("0:1000:1").unwrap(), range);
        let two = IdMap { uid: vec![IdRange::new(0, 1000, 1)], gid: vec![IdRange::new(0, 100, 1)] };
        assert_eq!(id_mapping("0:1000:1,0:100:1").unwrap(), IdMapping::Explicit(two));
        for wrong in ["0:1000:1:2", "0:1000:1,", "0:-1:1"] {
            assert!(id_mapping(wrong).is_err(), "{wrong}");
        }
        let pair = |text: &str| variable(OsStr::new(text), |name, value| (name, value));
        assert_eq!(pair("A=b=c"), ("A".into(), Some("b=c".into())));
        assert_eq!(pair("A"), ("A".into(), None));
    }
}
