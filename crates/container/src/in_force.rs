//! What a plan's settings put in force, as a report.
//!
//! Invariant: every control of [`Control`] has exactly one entry (namespaces: one for each kind).

use std::path::{Path, PathBuf};

use ampoule_ns::prepared::credentials::Groups;
use ampoule_ns::prepared::id_maps::Writer;
use ampoule_ns::{Capability, Namespace, Setting};

use crate::builder::Builder;
use crate::command::Command;
use crate::container::OnDrop;
use crate::group::Grouping;
use crate::identity::Bounding;
use crate::origin::{NewPrivileges, Origin, WithHost};
use crate::pid1::Pid1;
use crate::report::{Control, Report};
use crate::selinux::PairKept;
use crate::settings::Settings;

impl Settings {
    /// The report of these settings.
    pub(crate) fn report(&self, command: &Command) -> Report {
        let mut report = Report::default();
        let builder = &command.builder;
        self.report_namespaces(&mut report);
        self.report_ids(&mut report);
        self.report_root(builder, &mut report);
        self.report_process(&mut report);
        self.selinux.report(PairKept::of(self.pid1, builder.on_drop), &mut report);
        self.relabelling.report(&mut report);
        self.report_limits(&mut report);
        self.report_ends(command, &mut report);
        if command.program.is_none() {
            report.for_what_joins();
        }
        report
    }

    fn report_namespaces(&self, report: &mut Report) {
        for (kind, setting) in self.namespaces.iter() {
            let left_out =
                self.left_out.iter().find(|(control, _)| *control == Control::Namespace(kind));
            if let Some((control, reason)) = left_out {
                report.not_possible(*control, reason.as_str(), None);
                continue;
            }
            match setting {
                Setting::New => report.in_force(Control::Namespace(kind), "new"),
                Setting::Join(_) => report.in_force(Control::Namespace(kind), "joined"),
                Setting::Host => report.off(Control::Namespace(kind)),
            }
        }
    }

    fn report_ids(&self, report: &mut Report) {
        match &self.identity.maps {
            None => report.off(Control::IdMap),
            Some((map, writer)) => {
                let first = map
                    .uid
                    .first()
                    .map_or(String::new(), |r| format!("{}→{} ×{}", r.inside, r.outside, r.count));
                let by = match writer {
                    Writer::Helpers => ", by newuidmap",
                    Writer::Privileged | Writer::OwnId => "",
                };
                report.in_force(Control::IdMap, format!("{first}{by}"));
            }
        }
        match self.identity.groups {
            Groups::Settable => {
                report.in_force(
                    Control::SupplementaryGroups,
                    format!("{:?}", self.identity.user.groups),
                );
            }
            Groups::Fixed => report.not_possible(
                Control::SupplementaryGroups,
                "the host's stay: setgroups is denied with a map of one's own id",
                Some("map ranges of /etc/subgid (IdMapping::SubIds)"),
            ),
        }
    }

    fn report_root(&self, builder: &Builder, report: &mut Report) {
        match (&self.root, &builder.origin) {
            (Some(_), Origin::HostView) => {
                report.in_force(Control::Root, "a read-only view of the host")
            }
            (Some(_), Origin::Directory(directory)) => {
                report.in_force(
                    Control::Root,
                    format!("{} ({:?})", directory.display(), builder.root),
                );
            }
            (Some(_), Origin::Layers(layers)) => {
                let uppermost = layers.first().map_or(Path::new("/"), PathBuf::as_path);
                report.in_force(
                    Control::Root,
                    format!(
                        "{} layers, {} ({:?})",
                        layers.len(),
                        uppermost.display(),
                        builder.root
                    ),
                );
            }
            (_, Origin::Bare) | (None, _) => report.off(Control::Root),
        }
        match (&self.root, builder.masked.as_deref()) {
            (None, _) | (_, Some([])) => report.off(Control::MaskedPaths),
            (Some(_), None) => report.in_force(Control::MaskedPaths, "the default list"),
            (Some(_), Some(paths)) => {
                report.in_force(Control::MaskedPaths, format!("{} paths", paths.len()))
            }
        }
        self.report_substitutions(report);
        let administers = self.identity.capabilities.bounding.contains(Capability::SysAdmin);
        match (&self.root, administers) {
            (None, _) => report.off(Control::LockedMounts),
            (Some(_), false) => report.in_force(Control::LockedMounts, "the payload cannot mount"),
            (Some(_), true) => report.not_possible(
                Control::LockedMounts,
                "the payload has CAP_SYS_ADMIN: it may clear flags of mounts and uncover what is masked",
                Some("drop CAP_SYS_ADMIN"),
            ),
        }
    }

    /// What is the host's because a new one was not allowed.
    fn report_substitutions(&self, report: &mut Report) {
        let Some(root) = &self.root else { return report.off(Control::KernelFileSystems) };
        let shown: Vec<String> =
            root.substitutions.iter().map(|one| one.target.display().to_string()).collect();
        if shown.is_empty() {
            report.in_force(Control::KernelFileSystems, "all new");
        } else {
            let reason = format!("{} of the host: their namespaces are shared", shown.join(", "));
            report.not_possible(Control::KernelFileSystems, reason, None);
        }
    }

    fn report_process(&self, report: &mut Report) {
        let capabilities = &self.identity.capabilities;
        match (self.identity.bounding, self.new_privileges) {
            (Bounding::Settable, _) => {
                report.in_force(Control::Capabilities, capabilities.bounding.to_string());
            }
            (Bounding::Fixed, NewPrivileges::Forbidden) => report.in_force(
                Control::Capabilities,
                format!("{}; no other can be gained", capabilities.permitted),
            ),
            (Bounding::Fixed, NewPrivileges::Allowed) => report.not_possible(
                Control::Capabilities,
                "the caller's bounding set stays: it takes CAP_SETPCAP to change it",
                Some("use a new user namespace"),
            ),
        }
        match self.new_privileges {
            NewPrivileges::Forbidden => report.in_force(Control::NoNewPrivileges, "no_new_privs"),
            NewPrivileges::Allowed => report.off(Control::NoNewPrivileges),
        }
        self.report_seccomp(report);
        self.report_apparmor(report);
        self.report_landlock(report);
    }

    fn report_seccomp(&self, report: &mut Report) {
        let left_out = self.left_out.iter().find(|(control, _)| *control == Control::Seccomp);
        match (&self.seccomp, left_out) {
            (_, Some((control, reason))) => report.not_possible(*control, reason.as_str(), None),
            (Some(confined), None) => report.in_force(Control::Seccomp, confined.describe()),
            (None, None) => report.off(Control::Seccomp),
        }
    }

    fn report_apparmor(&self, report: &mut Report) {
        let left_out = self.left_out.iter().find(|(control, _)| *control == Control::AppArmor);
        match (&self.apparmor, left_out) {
            (Some(profile), _) => profile.report(report),
            (None, Some((_, reason))) => {
                report.not_possible(Control::AppArmor, reason.as_str(), None);
            }
            (None, None) => report.off(Control::AppArmor),
        }
    }

    #[cfg(not(feature = "landlock"))]
    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    fn report_landlock(&self, report: &mut Report) {
        report.off(Control::Landlock);
    }

    #[cfg(feature = "landlock")]
    fn report_landlock(&self, report: &mut Report) {
        let left_out = self.left_out.iter().find(|(control, _)| *control == Control::Landlock);
        let detail = self.landlock.as_ref().map(|prepared| prepared.detail.as_str());
        match (detail, left_out) {
            (Some(detail), None) => report.in_force(Control::Landlock, detail),
            (Some(_), Some((_, reason))) => {
                report.not_possible(Control::Landlock, format!("only in part: {reason}"), None);
            }
            (None, Some((_, reason))) => {
                report.not_possible(Control::Landlock, reason.as_str(), None);
            }
            (None, None) => report.off(Control::Landlock),
        }
    }

    fn report_limits(&self, report: &mut Report) {
        let left_out = self.left_out.iter().find(|(control, _)| *control == Control::Limits);
        match &self.group {
            Grouping::Planned(group) => report.in_force(Control::Group, group.describe()),
            Grouping::NotPossible(error) => {
                report.not_possible(Control::Group, error.to_string(), error.hint())
            }
            Grouping::Detached => report.not_possible(
                Control::Group,
                "nobody would remove the group of a detached container",
                Some("use OwnGroup::Always: the next program removes it"),
            ),
            Grouping::Off => report.off(Control::Group),
        }
        match (self.group.plan(), left_out) {
            (_, Some((_, reason))) => report.not_possible(Control::Limits, reason.as_str(), None),
            (Some(group), None) if group.has_limits() => {
                report.in_force(Control::Limits, "of the group and all in it");
            }
            _ => report.off(Control::Limits),
        }
    }

    fn report_ends(&self, command: &Command, report: &mut Report) {
        match (self.with_host, self.on_drop, self.pid1) {
            (WithHost::Survives, _, _) | (_, OnDrop::Detach, _) => report.off(Control::DieWithHost),
            (WithHost::Dies, OnDrop::Kill, Pid1::Reaper) => {
                report.in_force(Control::DieWithHost, "init watches the host's pidfd");
            }
            (WithHost::Dies, OnDrop::Kill, Pid1::Payload) => report.not_possible(
                Control::DieWithHost,
                "the payload is the first process and watches nobody",
                Some("use Pid1::Reaper"),
            ),
        }
        let whole_tree = matches!(self.namespaces.get(Namespace::Pid), Setting::New);
        match (command.has_timeout(), self.pid1, whole_tree) {
            (false, _, _) => report.off(Control::TimeLimit),
            (true, Pid1::Reaper, true) => report.in_force(Control::TimeLimit, "kept by init"),
            (true, Pid1::Reaper, false) => {
                report.in_force(Control::TimeLimit, "kept by init, which ends its descendants")
            }
            (true, Pid1::Payload, _) => {
                report.in_force(Control::TimeLimit, "kept while the host waits")
            }
        }
    }
}
