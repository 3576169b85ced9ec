//! A filter as the Rust code that makes it.
//!
//! Kernel objects: none. Invariant: the code makes an equal filter.

use std::fmt;

use crate::action::Action;
use crate::arch::Arch;
use crate::condition::{Condition, Operator};
use crate::filter::{Filter, Rule};

/// Columns of a line.
const WIDTH: usize = 100;

impl Filter {
    /// The code that makes it, an expression that needs `Action`, `Arch`, `Filter`, `Flags`, `Rule` and `arg` of this crate
    /// in scope, as far as it uses them.
    #[must_use]
    pub fn to_rust(&self) -> RustCode<'_> {
        RustCode(self)
    }
}

/// Prints a filter as code; see [`Filter::to_rust`].
#[derive(Clone, Copy, Debug)]
pub struct RustCode<'a>(&'a Filter);

impl fmt::Display for RustCode<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self.0;
        write!(out, "Filter::new({})", action(filter.default))?;
        if filter.archs != [Arch::native()] {
            write!(out, "\n    .archs({})", archs(&filter.archs))?;
        }
        if filter.foreign != Action::KillProcess {
            write!(out, "\n    .foreign({})", action(filter.foreign))?;
        }
        if let Some(newer) = filter.newer {
            write!(out, "\n    .newer({})", action(newer))?;
        }
        if !filter.flags.is_empty() {
            let names = filter.flags.iter_names().map(|(name, _)| format!("Flags::{name}"));
            write!(out, "\n    .flags({})", names.collect::<Vec<_>>().join(" | "))?;
        }
        filter.rules.iter().try_for_each(|one| rule(one, out))
    }
}

fn rule(rule: &Rule, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if rule.conditions.is_empty() && rule.archs.is_empty() && rule.action == Action::Allow {
        out.write_str("\n    .allow([")?;
        calls(rule, "        ", out)?;
        return out.write_str("\n    ])");
    }
    write!(out, "\n    .rule(\n        Rule::new({}, [", action(rule.action))?;
    calls(rule, "            ", out)?;
    out.write_str("\n        ])")?;
    for condition in &rule.conditions {
        write!(out, "\n        .when({})", compared(condition))?;
    }
    for arch in &rule.archs {
        write!(out, "\n        .on(Arch::{arch:?})")?;
    }
    out.write_str(",\n    )")
}

/// Names in lines of [`WIDTH`].
fn calls(rule: &Rule, indent: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut column = WIDTH;
    for name in &rule.calls {
        let word = format!(" {name:?},");
        if column + word.len() > WIDTH {
            write!(out, "\n{indent}{}", word.trim_start())?;
            column = indent.len() + word.len() - 1;
        } else {
            out.write_str(&word)?;
            column += word.len();
        }
    }
    Ok(())
}

fn archs(archs: &[Arch]) -> String {
    let names: Vec<_> = archs.iter().map(|arch| format!("Arch::{arch:?}")).collect();
    format!("[{}]", names.join(", "))
}

fn action(action: Action) -> String {
    match action {
        Action::NOT_PERMITTED => "Action::NOT_PERMITTED".to_owned(),
        Action::NOT_IMPLEMENTED => "Action::NOT_IMPLEMENTED".to_owned(),
        other => format!("Action::{other:?}"),
    }
}

fn compared(condition: &Condition) -> String {
    let Condition { arg, operator, value } = condition;
    let method = match operator {
        Operator::Eq => "eq",
        Operator::Ne => "ne",
        Operator::Lt => "lt",
        Operator::Le => "le",
        Operator::Gt => "gt",
        Operator::Ge => "ge",
        Operator::MaskedEq(0xffff_ffff) if *value <= 0xffff_ffff => {
            return format!("arg({arg}).int_eq({value:#x})");
        }
        Operator::MaskedEq(mask) => return format!("arg({arg}).masked_eq({mask:#x}, {value:#x})"),
    };
    format!("arg({arg}).{method}({value:#x})")
}
