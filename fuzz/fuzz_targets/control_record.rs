//! What the host reads from its sockets: records of exactly one length, and the status in them.
#![no_main]

use ampoule_init::reaper::Ended;
use ampoule_init::wire::{RECORD_LEN, Record, record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(received) = Record::decode(data) else {
        assert_ne!(data.len(), RECORD_LEN);
        return;
    };
    assert_eq!(received.encode().as_slice(), data);
    let status = Record { kind: record::STATUS, ..received };
    assert!(Ended::from_record(&status).is_some_and(|ended| ended.status == received.errno));
    assert_eq!(Ended::from_record(&received).is_some(), received.kind == record::STATUS);
});
