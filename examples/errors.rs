//! What do errors look like, and what can a program learn from one?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use ampoule::{Builder, Command, Container};
use ampoule_examples::arguments::{Failure, only_help};

const HELP: &str = "\
Makes mistakes, and shows what the error of each says.

Usage: errors
";

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    let view = Container::host_view;
    let many: Builder = view().hostname("x".repeat(65)).umask(0o7777).oom_score_adj(9999);
    let commands: [(&str, Command); 7] = [
        ("three settings that cannot be", many.command("true")),
        ("a program that is not there", view().command("no-such-program")),
        ("a directory as program", view().command("/usr/bin")),
        (
            "a missing interpreter",
            view().file_with_mode("/run/it", "#!/no/such\n", 0o755).command("/run/it"),
        ),
        ("a working directory that is not there", view().command("true").current_dir("/nowhere")),
        ("a source that is not there", view().bind("/no/such/source").command("true")),
        ("a root that is a file", Container::from_rootfs("/etc/passwd").command("true")),
    ];
    for (mistake, command) in commands {
        println!("--- {mistake}");
        match command.status() {
            Ok(status) => println!("no error: {status}"),
            Err(error) => show(error),
        }
    }
    Ok(())
}

fn show(error: ampoule::Error) {
    println!("message:  {error}");
    println!(
        "kind:     {:?} at stage {:?}, errno {:?}",
        error.kind(),
        error.stage(),
        error.errno()
    );
    error.hint().into_iter().for_each(|hint| println!("hint:     {hint}"));
    error.problems().iter().for_each(|problem| println!("problem:  {problem}"));
    let converted = std::io::Error::from(error);
    println!("io::Error: {:?}", converted.kind());
}
