//! Networks that cannot be: a name that is too long, a rule that is none, what does not go together.
//!
//! Kernel objects: a network namespace that stands in for the host. Invariant: nothing is made.

mod oracle;
mod scene;

use ampoule::net::{self, Egress};
use ampoule::{Builder, Container, ErrorKind, Network};
use oracle::{alone_with, tier, unchanged};
use scene::networks::{bridge, elsewhere, files};
use scene::{refused, shell};

#[test]
fn names_and_rules_are_refused_before_anything_is_made() {
    tier::root();
    alone_with(elsewhere, || {
        unchanged(|| {
            for error in [
                Network::veth("a234567890123456").expect_err("a name"),
                Network::device("a234567890123456").expect_err("a name"),
            ] {
                assert_eq!(error.kind(), net::ErrorKind::InvalidName, "{error}");
            }
            let rule = "10.0.0.0/8:https".parse::<net::Allow>().expect_err("no rule");
            assert_eq!(rule.kind(), net::ErrorKind::InvalidEgress);
            assert!(rule.to_string().contains("10.0.0.0/8:https"), "{rule}");
            let host = || Container::host_view().network(Network::Host);
            let problem = |builder: Builder| {
                let error = refused(shell(builder, "true").plan());
                assert_eq!(error.kind(), ErrorKind::InvalidSettings, "{error}");
                error.problems()[0].setting().to_owned()
            };
            assert_eq!(problem(host().egress(Egress::deny_all())), "egress");
            assert_eq!(problem(host().publish("80:80".parse().expect("a port"))), "publish");
            assert_eq!(problem(host().network(bridge("web", "10.77.1.0/24"))), "network");
            let overlong = Container::host_view().network(bridge("web", "10.77.1.0/31"));
            assert_eq!(problem(overlong), "network");
        });
        assert_eq!(files("/run/ampoule".as_ref()), Vec::<String>::new());
    });
}
