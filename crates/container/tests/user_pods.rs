//! Pods of an ordinary user.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, pods: share_their_network_and_name share_their_ipc stop_in_order);
