//! The header and the operations of a program image: no panic, and nothing that is accepted leaves the image.
#![no_main]

use ampoule_init::wire::{OP_LEN, Op, PROGRAM_HEADER_LEN, ProgramHeader, u32_at, u64_at};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    // The same with a true start and length, so that what follows is reached.
    let mut image = data.to_vec();
    if let Some(start) = image.get_mut(..12) {
        let empty =
            ProgramHeader { len: 0, ops: 0, child: 0, relocs: 0, reloc_count: 0, plan_fds: 0 };
        start[..8].copy_from_slice(&empty.encode()[..8]);
        start[8..].copy_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_le_bytes());
        check(&image);
    }
});

fn check(image: &[u8]) {
    for index in [0, 1, 7, u32::MAX / 2, u32::MAX] {
        check_operation(image, index);
    }
    let Some(header) = ProgramHeader::decode(image) else { return };
    assert_eq!(header.len as usize, image.len());
    assert!(header.child <= header.ops);
    assert!(header.ops as usize * OP_LEN + PROGRAM_HEADER_LEN <= image.len());
    assert_eq!(&header.encode()[..32], &image[..32]);
    for index in 0..header.ops {
        assert!(check_operation(image, index), "an operation of an accepted image is there");
    }
    for index in 0..header.reloc_count as usize {
        let at = u32_at(image, header.relocs as usize + 4 * index).expect("the table is inside");
        if u64_at(image, at as usize).is_some() {
            assert!(at as usize + 8 <= image.len());
        }
    }
}

fn check_operation(image: &[u8], index: u32) -> bool {
    let Some(op) = Op::decode(image, index) else { return false };
    let kinds = (0..8).map(|argument| op.kind(argument)).collect::<Vec<_>>();
    assert!(kinds.iter().all(|&kind| kind <= 0xf));
    let mut padded = vec![0; PROGRAM_HEADER_LEN];
    padded.extend(op.encode());
    assert_eq!(Op::decode(&padded, 0), Some(op));
    true
}
