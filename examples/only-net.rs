//! How do I give a network namespace of my own an address, a way out and a policy, without a container?
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::process::ExitCode;

use ampoule_examples::arguments::{Failure, only_help};
use ampoule_net::{BridgeNetwork, Egress, Endpoint, Host, Netns};

const HELP: &str = "\
Makes two network namespaces, connects them to one bridge with the crate ampoule-net alone, and takes all away again.

Usage: only-net        needs root
";

fn main() -> ExitCode {
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("only-net: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<(), Failure> {
    if only_help(HELP)?.is_none() {
        return Ok(());
    }
    let host = Host::new()?;
    // What a killed program left goes first.
    println!("cleared: {:?}", host.reconcile()?.addresses);
    let network = BridgeNetwork::new("only-net")?;
    let (mut one, mut two) = (Netns::create()?, Netns::create()?);
    Egress::deny_all().allow("10.0.0.0/8:443/tcp".parse()?).enforce(&mut one)?;
    let first = host.attach(&network, &Endpoint::new("eth0")?, &mut one)?;
    let second = host.attach(&network, &Endpoint::new("eth0")?, &mut two)?;
    for (netns, attachment) in [(&mut one, &first), (&mut two, &second)] {
        let (addresses, gateways) = (attachment.addresses(), attachment.gateways());
        println!("{:?} at {addresses:?}, way out {gateways:?}", netns.links()?);
    }
    println!("refused by the policy of the first: {:?}", Egress::refused(&mut one)?);
    for (name, count) in host.networks()? {
        println!("network {name}: {count} in use");
    }
    first.detach()?;
    second.detach()?;
    println!("networks left: {}", host.networks()?.len());
    Ok(())
}
