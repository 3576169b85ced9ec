//! The byte layouts: what is encoded is decoded, what is cut or arbitrary is refused or harmless.

use ampoule_init::wire::{
    ARGS, LAUNCH_HEADER_LEN, LaunchHeader, OP_LEN, Op, PROGRAM_HEADER_LEN, ProgramHeader,
    RECORD_LEN, Record, u16_at, u32_at, u64_at,
};
use proptest::collection::vec;
use proptest::prelude::*;

prop_compose! {
    fn op()(
        (code, step, flags) in any::<(u16, u16, u16)>(),
        (save, nr, tolerate, kinds) in any::<(u32, u32, u32, u32)>(),
        args in any::<[u64; ARGS]>(),
    ) -> Op {
        Op { code, step, flags, save, nr, tolerate, kinds, args }
    }
}

/// A program image with these operations and as many relocations.
fn image(ops: &[Op], child: u32, relocations: &[u32]) -> (ProgramHeader, Vec<u8>) {
    let table = PROGRAM_HEADER_LEN + ops.len() * OP_LEN;
    let len = table + relocations.len() * 4;
    let number = |value: usize| u32::try_from(value).expect("a small image");
    let header = ProgramHeader {
        len: number(len),
        ops: number(ops.len()),
        child,
        relocs: number(table),
        reloc_count: number(relocations.len()),
        plan_fds: 3,
    };
    let mut bytes = header.encode().to_vec();
    bytes.extend(ops.iter().flat_map(Op::encode));
    bytes.extend(relocations.iter().flat_map(|at| at.to_le_bytes()));
    (header, bytes)
}

prop_compose! {
    fn launch()(
        (len, flags, relocs, reloc_count, params, param_count) in any::<(u32, u32, u32, u32, u32, u32)>(),
        (argv, envp, paths, host, status, kept) in any::<(u32, u32, u32, u32, u32, u32)>(),
        (fault_op, fault, timeout) in any::<(u32, u32, u64)>(),
    ) -> LaunchHeader {
        LaunchHeader {
            len, flags, relocs, reloc_count, params, param_count, argv, envp, paths, host, status,
            fault_op, fault, kept, timeout,
        }
    }
}

/// The tables of a launch put where they fit into this many bytes.
fn fitted(mut header: LaunchHeader, body: usize) -> (LaunchHeader, Vec<u8>) {
    let len = LAUNCH_HEADER_LEN + body;
    header.len = u32::try_from(len).expect("a small image");
    header.relocs %= header.len;
    header.reloc_count %= (header.len - header.relocs) / 4 + 1;
    header.params %= header.len;
    header.param_count %= (header.len - header.params) / 8 + 1;
    let mut bytes = header.encode().to_vec();
    bytes.resize(len, 0x5a);
    (header, bytes)
}

proptest! {
    #[test]
    fn an_operation_comes_back(ops in vec(op(), 1..20), relocations in vec(any::<u32>(), 0..9)) {
        let (header, bytes) = image(&ops, 1, &relocations);
        prop_assert_eq!(ProgramHeader::decode(&bytes), Some(header));
        for (index, op) in (0_u32..).zip(&ops) {
            prop_assert_eq!(Op::decode(&bytes, index), Some(*op));
        }
    }

    #[test]
    fn the_kinds_of_arguments_are_four_bits_each(op in op()) {
        let together = (0..8).rev().fold(0, |kinds, index| kinds << 4 | op.kind(index));
        prop_assert_eq!(together, op.kinds);
    }

    #[test]
    fn a_launch_comes_back(header in launch(), body in 0_usize..300) {
        let (header, bytes) = fitted(header, body);
        prop_assert_eq!(LaunchHeader::decode(&bytes), Some(header));
    }

    #[test]
    fn a_record_comes_back(kind: u32, step: u32, errno: i32, aux: u32, words: [u64; 14]) {
        let record = Record { kind, step, errno, aux, words };
        prop_assert_eq!(Record::decode(&record.encode()), Some(record));
    }

    #[test]
    fn a_record_of_another_length_is_refused(bytes in vec(any::<u8>(), 0..2 * RECORD_LEN)) {
        prop_assert_eq!(Record::decode(&bytes).is_some(), bytes.len() == RECORD_LEN);
    }

    #[test]
    fn a_cut_or_longer_image_is_refused(ops in vec(op(), 1..9), header in launch(), cut in 1_usize..200) {
        let (_, program) = image(&ops, 0, &[]);
        let (_, launch) = fitted(header, 100);
        for keep in [program.len().saturating_sub(cut), program.len() + cut] {
            let mut bytes = program.clone();
            bytes.resize(keep, 0);
            prop_assert_eq!(ProgramHeader::decode(&bytes), None);
        }
        for keep in [launch.len().saturating_sub(cut), launch.len() + cut] {
            let mut bytes = launch.clone();
            bytes.resize(keep, 0);
            prop_assert_eq!(LaunchHeader::decode(&bytes), None);
        }
    }

    #[test]
    fn tables_outside_the_image_are_refused(
        ops in vec(op(), 1..5),
        words in any::<[u32; 4]>(),
    ) {
        let (header, bytes) = image(&ops, 0, &[]);
        let [ops_count, child, relocs, reloc_count] = words;
        let changed = ProgramHeader { ops: ops_count, child, relocs, reloc_count, ..header };
        let mut other = bytes.clone();
        other[..PROGRAM_HEADER_LEN].copy_from_slice(&changed.encode());
        if let Some(decoded) = ProgramHeader::decode(&other) {
            prop_assert!(decoded.child <= decoded.ops);
            prop_assert!(decoded.ops as usize * OP_LEN + PROGRAM_HEADER_LEN <= other.len());
            prop_assert!(decoded.relocs as usize + 4 * decoded.reloc_count as usize <= other.len());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400), index: u32, at: usize) {
        let _decoded = (ProgramHeader::decode(&bytes), LaunchHeader::decode(&bytes), Record::decode(&bytes));
        let _decoded = (Op::decode(&bytes, index), u16_at(&bytes, at), u32_at(&bytes, at), u64_at(&bytes, at));
    }

    #[test]
    fn arbitrary_bytes_behind_a_true_start_never_panic(words in vec(any::<u32>(), 20..60)) {
        let (header, _) = image(&[], 0, &[]);
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes[..8].copy_from_slice(&header.encode()[..8]);
        let _decoded = ProgramHeader::decode(&bytes);
    }
}

#[test]
fn another_version_is_refused() {
    let (_, good) = image(&[], 0, &[]);
    assert!(ProgramHeader::decode(&good).is_some());
    for at in [0, 4] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_eq!(ProgramHeader::decode(&bytes), None);
    }
    assert_eq!(LaunchHeader::decode(&good), None, "the two images have different names");
}
