//! Networks of the Container Network Interface (<https://www.cni.dev/docs/spec/>): chains of plugins, run as engines do.
//!
//! ```no_run
//! use ampoule_net::{Netns, cni};
//! let conf = cni::Conflist::read("/etc/cni/net.d/10-web.conflist".as_ref())?;
//! let plugins = cni::Plugins::in_directory("/opt/cni/bin");
//! let mut netns = Netns::create()?;
//! let added = plugins.add(&conf, &cni::Request::new("web-1", "eth0")?, &netns)?;
//! println!("{:?}", added.answer().addresses());
//! added.delete()?;
//! # Ok::<(), ampoule_net::Error>(())
//! ```

mod added;
mod answer;
mod conflist;
mod kept;
mod plugins;
mod request;
mod stand_in;

pub use added::Added;
pub(crate) use answer::parse_answer;
pub use answer::{Address, Answer, Interface};
pub use conflist::{Conflist, Version};
pub(crate) use kept::reconcile;
pub use plugins::Plugins;
pub use request::Request;
