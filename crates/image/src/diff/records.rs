//! Records of extended headers, written.
//!
//! Kernel objects: none. Invariant: what is written here is read back by
//! [`split_record`](crate::unpack::format::pax::split_record) as it was.

/// Adds `LENGTH KEY=VALUE\n`; the length counts its own digits.
pub(crate) fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    records.extend_from_slice(len.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::format::pax::split_record;

    #[test]
    fn lengths_around_every_power_of_ten() {
        for len in (0..120).chain(980..1010).chain(9_980..10_010) {
            let value = vec![b'v'; len];
            let mut records = Vec::new();
            push(&mut records, b"key", &value);
            let (record, rest) = split_record(&records).expect("a record");
            assert_eq!(
                (record.key, record.value, rest),
                (b"key".as_slice(), value.as_slice(), b"".as_slice())
            );
        }
    }
}
