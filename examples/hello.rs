//! How do I run one program isolated, and see how it ended?
use ampoule::Container;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = Container::host_view().command("sh").args(["-c", "echo I am process $$ of $(hostname); id; ls /; cat /proc/self/mountinfo; ls -la /dev; grep Cap /proc/self/status; cat /proc/net/dev; cat /proc/self/cgroup"]).output()?;
    print!("{}", String::from_utf8_lossy(&out.stdout));
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    println!("{} {:?}", out.status, out.status.usage());
    Ok(())
}
