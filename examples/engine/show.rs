//! What containers do: ps, top, stats and logs.
//!
//! Kernel objects: files of /proc, the groups of the containers, their logs; all of them are only read.

use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant, SystemTime};

use ampoule::{Kept, RunState, Stats};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::columns::columns;
use ampoule_examples::foreground::exit_code;
use ampoule_examples::row::{self, Row};

use crate::arguments::Call;
use crate::container::{Engine, Saved, is_up};

/// How often a log is looked at that is followed.
const AGAIN: Duration = Duration::from_millis(20);

pub(crate) fn ps(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    const HEAD: [&str; 6] = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for saved in engine.all()? {
        let kept = engine.kept(&saved)?;
        if !(call.has("all") || kept.as_ref().is_some_and(|kept| is_up(kept.state()))) {
            continue;
        }
        let words: Vec<_> = saved.args.iter().map(|word| word.to_string_lossy()).collect();
        rows.push([
            saved.id[..12].to_owned(),
            saved.image.clone(),
            words.join(" ").chars().take(20).collect(),
            format!("{} ago", since(saved.created)),
            status(kept.as_ref()),
            saved.name.clone(),
        ]);
    }
    if call.has("quiet") {
        return print(&rows.iter().skip(1).map(|row| row[0].clone() + "\n").collect::<String>())
            .map(|()| 0);
    }
    print(&columns(&rows)).map(|()| 0)
}

/// As Podman says it.
fn status(kept: Option<&Kept>) -> String {
    let Some(kept) = kept else { return "Created".to_owned() };
    match kept.state() {
        RunState::Running => format!("Up {}", since(kept.created())),
        RunState::Paused => "Paused".to_owned(),
        RunState::Stopped => match (kept.wait(), kept.ended()) {
            (Ok(status), Some(at)) => format!("Exited ({}) {} ago", exit_code(&status), since(at)),
            // Its init was killed, or the machine was started anew.
            _ => "Exited".to_owned(),
        },
        _ => "Created".to_owned(),
    }
}

fn since(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
    let (number, unit) = match seconds {
        0 => return "Less than a second".to_owned(),
        1..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

pub(crate) fn top(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    const HEAD: [&str; 7] = ["PID", "PPID", "CLS", "RTPRIO", "NI", "TIME", "COMMAND"];
    let kept = engine.running(&engine.find(&call.first()?)?)?;
    let mut rows = vec![HEAD.map(str::to_owned)];
    // One that has just ended has no row.
    rows.extend(kept.container()?.processes()?.into_iter().filter_map(process));
    print(&columns(&rows)).map(|()| 0)
}

/// What proc_pid_stat(5) says, as ps(1) shows it.
fn process(pid: u32) -> Option<[String; 7]> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Numbered as in the manual.
    let field = |number: usize| fields.get(number - 3).copied();
    let ticks = field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?;
    let seconds = ticks / rustix::param::clock_ticks_per_second();
    let dash = || "-".to_owned();
    let (class, priority, nice) = match field(41)? {
        "0" => ("TS", dash(), field(19)?.to_owned()),
        "1" => ("FF", field(40)?.to_owned(), dash()),
        "2" => ("RR", field(40)?.to_owned(), dash()),
        "3" => ("B", dash(), field(19)?.to_owned()),
        "5" => ("IDL", dash(), dash()),
        "6" => ("DLN", dash(), dash()),
        _ => ("?", dash(), dash()),
    };
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    // A terminal would obey control characters.
    let command = words.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect();
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let (pid, parent) = (pid.to_string(), field(4)?.to_owned());
    Some([pid, parent, class.to_owned(), priority, nice, time, command])
}

/// From two looks, one second apart; in podman's measures.
pub(crate) fn stats(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let chosen: Vec<Saved> = match call.words.as_slice() {
        [] => engine.all()?,
        words => words
            .iter()
            .map(|word| engine.find(&word.to_string_lossy()))
            .collect::<Result<_, _>>()?,
    };
    let running = |saved: Saved| engine.running(&saved).ok().map(|kept| (saved, kept));
    let running: Vec<_> = chosen.into_iter().filter_map(running).collect();
    // One that has just ended is not shown.
    let look = |kept: &Kept| kept.container().and_then(|container| container.stats()).ok();
    let (begin, before): (_, Vec<Option<Stats>>) =
        (Instant::now(), running.iter().map(|(_, kept)| look(kept)).collect());
    std::thread::sleep(Duration::from_secs(1));
    let machine = rustix::system::sysinfo();
    let memory = u64::from(machine.mem_unit).saturating_mul(machine.totalram);
    let row = |((saved, kept), before): (&(Saved, Kept), Option<Stats>)| {
        let row = Row::between(&before?, &look(kept)?, begin.elapsed(), memory);
        Some(Row { id: Some(saved.id[..12].to_owned()), name: saved.name.clone(), ..row })
    };
    let rows: Vec<_> = running.iter().zip(before).filter_map(row).collect();
    print(&row::table(&rows)).map(|()| 0)
}

pub(crate) fn logs(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let saved = engine.find(&call.first()?)?;
    if call.has("follow") {
        follow(engine, &saved, |_| ())?;
    } else {
        let mut text = String::new();
        saved.log()?.read_to_string(&mut text)?;
        print(&text)?;
    }
    Ok(0)
}

/// Shows the log until the container ends, and what is asked for meanwhile is done.
pub(crate) fn follow(
    engine: &Engine,
    saved: &Saved,
    mut meanwhile: impl FnMut(&Kept),
) -> Result<(), Failure> {
    let mut log = saved.log()?;
    let mut at = 0;
    loop {
        // Before the look at the log: what was written until the end is in it then.
        let kept = engine.running(saved);
        log.seek(SeekFrom::Start(at))?;
        at += std::io::copy(&mut log, &mut std::io::stdout())?;
        match kept {
            Ok(kept) => meanwhile(&kept),
            Err(_) => return Ok(()),
        }
        std::thread::sleep(AGAIN);
    }
}
