//! The header of a launch image: no panic, and tables that are accepted are inside.
#![no_main]

use ampoule_init::wire::{LAUNCH_HEADER_LEN, LaunchHeader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    // The same with a true start and length, so that what follows is reached.
    let mut image = data.to_vec();
    if let Some(start) = image.get_mut(..12) {
        start[..8].copy_from_slice(b"AMPL\x01\0\0\0");
        start[8..].copy_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_le_bytes());
        check(&image);
    }
});

fn check(image: &[u8]) {
    let Some(header) = LaunchHeader::decode(image) else { return };
    assert!(image.len() >= LAUNCH_HEADER_LEN);
    assert_eq!(header.len as usize, image.len());
    assert!(header.relocs as usize + 4 * header.reloc_count as usize <= image.len());
    assert!(header.params as usize + 8 * header.param_count as usize <= image.len());
    let mut again = header.encode().to_vec();
    again.resize(image.len(), 0);
    assert_eq!(LaunchHeader::decode(&again), Some(header));
}
